/** Keys of a gateway and tokens as clients encrypt them, made with the library itself (deltachat core, src/push.rs). */
import * as openpgp from 'openpgp';

export type KeyKind = 'v6' | 'v4' | 'v4-legacy';

/** What rsop's profiles make: v6 with X25519 (RFC 9580), v4 with the same, and the v4 of older software. */
export async function generateKey(kind: KeyKind): Promise<{ armored: string; publicKey: openpgp.PublicKey }> {
  const { privateKey, publicKey } = await openpgp.generateKey({
    type: kind === 'v4-legacy' ? 'ecc' : 'curve25519',
    ...(kind === 'v4-legacy' && { curve: 'curve25519Legacy' as const }),
    userIDs: [{ name: 'push gateway' }],
    format: 'object',
    config: { v6Keys: kind === 'v6', aeadProtect: kind === 'v6' },
  });
  return { armored: privateKey.armor(), publicKey };
}

/** SEIPD v2 with AES-128, OCB and chunks of 8 KiB, as core asks for; a key that does not announce it gets SEIPD v1. */
const AS_CORE: openpgp.PartialConfig = {
  aeadProtect: true,
  preferredAEADAlgorithm: openpgp.enums.aead.ocb,
  preferredSymmetricAlgorithm: openpgp.enums.symmetric.aes128,
  preferredCompressionAlgorithm: openpgp.enums.compression.uncompressed,
  aeadChunkSizeByte: 7,
};

export interface EncryptOptions {
  readonly wildcard?: boolean;
  readonly config?: openpgp.PartialConfig;
}

/** The binary message of a text encrypted to keys. */
export async function encrypt(
  text: string,
  keys: openpgp.PublicKey[],
  { wildcard = false, config }: EncryptOptions = {},
): Promise<Buffer> {
  const message = await openpgp.createMessage({ binary: Buffer.from(text) });
  const encrypted = await openpgp.encrypt({
    message,
    encryptionKeys: keys,
    format: 'binary',
    wildcard,
    config: { ...AS_CORE, ...config },
  });
  return Buffer.from(encrypted as Uint8Array);
}

/** A token as a client leaves it on its relay: padded with blanks to 512 bytes. */
export async function encryptToken(plain: string, key: openpgp.PublicKey): Promise<string> {
  return `openpgp:${(await encrypt(plain.padEnd(512), [key])).toString('base64')}`;
}
