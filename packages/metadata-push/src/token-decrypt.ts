/**
 * Decrypts device tokens: clients encrypt them to the OpenPGP key of the gateway, so that a relay cannot tell which service
 * wakes a device (RFC 9580; core/src/push.rs of Delta Chat: v6 X25519, SEIPD v2, padded to 512 bytes). Older messages (PKESK v3,
 * SEIPD v1) and keys work alike. The library is 13 MB in memory, so it is loaded with the first encrypted token.
 * Signatures are not looked at: clients make none, and a token proves nothing about its sender anyway.
 */

import { Buffer } from 'node:buffer';
import type { DecryptOptions, PartialConfig, PrivateKey, Subkey } from 'openpgp';

export type DecryptedToken =
  | { readonly kind: 'token'; readonly text: string }
  /** The message names its recipients, and none of our keys is among them: no later attempt can succeed. */
  | { readonly kind: 'foreign' }
  /** Damaged, or a key of ours that does not work: with the right keys it may succeed later. */
  | { readonly kind: 'failed' };

export interface TokenDecryptor {
  /** Loads library and keys. @throws KeyringError by rejection */
  prepare(): Promise<void>;
  /** @throws KeyringError by rejection, when the keys cannot be used */
  decrypt(message: Buffer): Promise<DecryptedToken>;
  /** When the key that clients can encrypt to longest ends, ms since the epoch; undefined: never, or the keys are not loaded. */
  keysEndAt(): number | undefined;
}

/** The keyring cannot be used; the message says why, and quotes nothing of it. */
export class KeyringError extends Error {
  readonly code: 'ERR_KEYRING_EMPTY' | 'ERR_KEYRING_UNREADABLE' | 'ERR_KEYRING_LOCKED';

  constructor(code: KeyringError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KeyringError';
    this.code = code;
  }
}

/** Keys in one keyring. Each costs about 30 ms to load; rotation needs two or three. */
const MAX_KEYS = 16;
/** A token is 4 KB at most; anything larger inside is an attempt to make us unpack a bomb. */
const MAX_UNPACKED_BYTES = 16 * 1024;
/** The key ID of a message that hides its recipient (RFC 9580 section 5.1.8): every key is tried. */
const HIDDEN_RECIPIENT = '0'.repeat(16);
const ARMORED_KEY = /-----BEGIN PGP PRIVATE KEY BLOCK-----[\s\S]*?-----END PGP PRIVATE KEY BLOCK-----/g;

type OpenPgp = typeof import('openpgp');

/** @param keyring armored private keys without passphrase, one after the other; the newest first makes decryption fastest */
export function createTokenDecryptor(keyring: string): TokenDecryptor {
  let loading: Promise<{ readonly library: OpenPgp; readonly keys: readonly PrivateKey[] }> | undefined;
  let endsAt: number | undefined;
  const load = () => {
    loading ??= loadKeyring(keyring).then(async (ring) => {
      endsAt = await lastEnd(ring.library, ring.keys);
      return ring;
    });
    return loading;
  };
  return {
    keysEndAt: () => endsAt,
    prepare: async () => void (await load()),
    async decrypt(binaryMessage) {
      const { library, keys } = await load();
      try {
        const message = await library.readMessage({ binaryMessage });
        const recipients = message.getEncryptionKeyIDs();
        const ours = keys.filter((key) =>
          recipients.some((id) => id.toHex() === HIDDEN_RECIPIENT || key.getKeys(id).length > 0),
        );
        if (recipients.length > 0 && ours.length === 0) return { kind: 'foreign' };
        const config: PartialConfig = { maxDecompressedMessageSize: MAX_UNPACKED_BYTES };
        const options: DecryptOptions & { format: 'binary' } = {
          message,
          decryptionKeys: ours,
          format: 'binary',
          config,
        };
        const { data } = await library.decrypt(options);
        // The padding is spaces; today's gateway cuts off any white space.
        return {
          kind: 'token',
          text: Buffer.from(data as Uint8Array)
            .toString('latin1')
            .trim(),
        };
      } catch {
        return { kind: 'failed' };
      }
    },
  };
}

async function loadKeyring(keyring: string): Promise<{ library: OpenPgp; keys: PrivateKey[] }> {
  const armoredKeys = keyring.match(ARMORED_KEY) ?? [];
  if (armoredKeys.length === 0 || armoredKeys.length > MAX_KEYS) {
    throw new KeyringError('ERR_KEYRING_EMPTY', `${armoredKeys.length} private keys; there must be 1 to ${MAX_KEYS}`);
  }
  const library = await import('openpgp');
  const keys = await Promise.all(
    armoredKeys.map((armoredKey) =>
      library.readPrivateKey({ armoredKey }).catch((cause) => {
        throw new KeyringError('ERR_KEYRING_UNREADABLE', 'a private key cannot be read', { cause });
      }),
    ),
  );
  if (!keys.every((key) => key.isDecrypted())) {
    throw new KeyringError('ERR_KEYRING_LOCKED', 'a private key has a passphrase; remove it');
  }
  return { library, keys };
}

async function lastEnd(library: OpenPgp, keys: readonly PrivateKey[]): Promise<number | undefined> {
  const last = Math.max(...(await Promise.all(keys.map((key) => endOf(library, key)))));
  return Number.isFinite(last) ? last : undefined;
}

/** When nobody can encrypt to a key any more: its primary key has ended, or the last of its subkeys that decrypt. Infinity: never. */
async function endOf(library: OpenPgp, key: PrivateKey): Promise<number> {
  // Null: revoked, or without a valid signature of its own, so no client uses it.
  const primaryEnd = Number((await key.getExpirationTime()) ?? 0);
  const subkeys = key.getSubkeys().filter((subkey) => canEncrypt(library, subkey));
  // The primary key does it itself.
  if (subkeys.length === 0) return primaryEnd;
  const ends = await Promise.all(subkeys.map(async (subkey) => Number((await subkey.getExpirationTime()) ?? 0)));
  return Math.min(primaryEnd, Math.max(...ends));
}

function canEncrypt({ enums: { keyFlags } }: OpenPgp, { bindingSignatures }: Subkey): boolean {
  return bindingSignatures.some(
    // Keys as old as to have no flags say nothing else about what they are for.
    ({ keyFlags: flags }) => !flags || (flags[0]! & (keyFlags.encryptCommunication | keyFlags.encryptStorage)) !== 0,
  );
}
