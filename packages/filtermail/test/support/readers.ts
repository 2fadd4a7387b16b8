/** Messages as two others read them, `@zone-eu/mailsplit` their MIME and OpenPGP.js their packets, for tests of what we accept. */

import { once } from 'node:events';
import { Splitter } from '@zone-eu/mailsplit';
import { enums, readMessage } from 'openpgp';

/** The parts mailsplit sees, in order: media type and body. */
export async function partsOf(text: string): Promise<{ type: string; body: string }[]> {
  const parts: { type: string; body: string }[] = [];
  const splitter = new Splitter();
  splitter.on('data', (chunk) => {
    if (chunk.type === 'node') parts.push({ type: chunk.contentType || 'text/plain', body: '' });
    else if (chunk.type === 'body') parts.at(-1)!.body += chunk.value.toString('latin1');
  });
  const ended = once(splitter, 'end');
  splitter.end(Buffer.from(text, 'latin1'));
  await ended;
  return parts;
}

/** What mailsplit sees else than the message we have accepted; undefined when it is the same. */
export async function mimeDifference(text: string, reason: string): Promise<string | undefined> {
  const [root, ...leaves] = await partsOf(text);
  const types = [root!.type, ...leaves.map(({ type }) => type)].join(' > ');
  if (reason === 'securejoin') {
    if (types !== 'multipart/mixed > text/plain') return types;
    return /^\s*secure-join: v[cg]-request\s*$/i.test(leaves[0]!.body) ? undefined : leaves[0]!.body;
  }
  if (types !== 'multipart/encrypted > application/pgp-encrypted > application/octet-stream') return types;
  // In a transfer encoding there is no more than its characters.
  const isEncoded = !leaves[1]!.body.includes('-----BEGIN');
  const armor = isEncoded ? /^[\s\w+/=-]*$/ : /^\s*-----BEGIN PGP MESSAGE-----\s[\s\S]*\s-----END PGP MESSAGE-----\s*$/;
  return armor.test(leaves[1]!.body) ? undefined : leaves[1]!.body;
}

/** The packets of an armored message; undefined when it is not in plain sight. */
export function packetsOf(text: string): Buffer | undefined {
  const armor = /-----BEGIN PGP MESSAGE-----[ \t]*\r\n(?:[^\r\n]+: [^\r\n]*\r\n)*[ \t]*\r\n([^=-]*)/.exec(text)?.[1];
  return armor === undefined ? undefined : Buffer.from(armor, 'base64');
}

/** What OpenPGP.js sees else than session keys and encrypted data; undefined when it is that. */
export async function packetDifference(bytes: Buffer): Promise<string | undefined> {
  const { pkesk, skesk } = {
    pkesk: enums.packet.publicKeyEncryptedSessionKey,
    skesk: enums.packet.symEncryptedSessionKey,
  };
  const data = [enums.packet.symEncryptedIntegrityProtectedData, enums.packet.aeadEncryptedData];
  try {
    const { packets } = await readMessage({ binaryMessage: new Uint8Array(bytes) });
    const tags = [...packets].map(
      (packet) => (packet.constructor as unknown as { tag?: number }).tag ?? (packet as { tag?: number }).tag ?? -1,
    );
    const keys = tags.slice(0, -1);
    const isWhole =
      keys.length > 0 && keys.every((tag) => tag === pkesk || tag === skesk) && data.includes(tags.at(-1)!);
    return isWhole ? undefined : `packets ${tags.join(' ')}`;
  } catch (error) {
    return (error as Error).message;
  }
}
