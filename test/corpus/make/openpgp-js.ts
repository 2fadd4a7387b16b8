/** [io] Messages by OpenPGP.js, which makes what GnuPG does not: version 6 packets, AEAD, Argon2, hidden recipients of those. */

import * as openpgp from 'openpgp';
import { type Entry, encrypted, withArmor } from './entry.ts';

/** What the type declarations leave out. */
interface AeadPacket {
  packets: unknown;
  /** Bytes, or the stream that will give them. */
  encrypted: unknown;
  aeadAlgorithm: number;
  encrypt(algorithm: number, key: Uint8Array, config: openpgp.Config): Promise<void>;
}

type KeyOptions = Partial<Parameters<typeof openpgp.generateKey>[0]>;

const TEXT = 'Content-Type: text/plain\r\n\r\nLet us meet at noon.\r\n';
// NIST and Brainpool curves are left to GnuPG: here they need a package that OpenPGP.js does not bring.
const AEAD: openpgp.PartialConfig = { aeadProtect: true };

const KEYS: readonly [name: string, options: KeyOptions][] = [
  ['legacy-25519', { type: 'ecc', curve: 'ed25519Legacy' }],
  ['x25519', { type: 'curve25519' }],
  ['x448', { type: 'curve448' }],
  ['rsa', { type: 'rsa', rsaBits: 2048 }],
];

export async function openpgpJsEntries(): Promise<Entry[]> {
  const rows: [name: string, why: string, armored: string][] = [];
  const message = await openpgp.createMessage({ text: TEXT });
  const encrypt = async (options: Partial<openpgp.EncryptOptions>): Promise<string> =>
    (await openpgp.encrypt({ message, ...options } as openpgp.EncryptOptions & { format: 'armored' })) as string;
  const keys = new Map<string, openpgp.PublicKey>();

  for (const [name, options] of KEYS) {
    const version4 = await makeKey(options, {});
    keys.set(name, version4);
    rows.push([name, `a version 4 key, ${name}`, await encrypt({ encryptionKeys: version4 })]);
    const aead = await makeKey(options, AEAD);
    rows.push([
      `aead-${name}`,
      `SEIPD version 2 for a version 4 key, ${name}`,
      await encrypt({ encryptionKeys: aead, config: AEAD }),
    ]);
    if (name.startsWith('legacy')) continue;
    const version6 = await makeKey(options, { ...AEAD, v6Keys: true });
    keys.set(`v6-${name}`, version6);
    rows.push([`v6-${name}`, `a version 6 key, ${name}`, await encrypt({ encryptionKeys: version6, config: AEAD })]);
  }
  const v6 = [keys.get('v6-x25519')!, keys.get('v6-x448')!, keys.get('v6-rsa')!];
  const { eax, ocb, gcm } = openpgp.enums.aead;
  for (const [name, preferredAEADAlgorithm] of Object.entries({ eax, ocb, gcm })) {
    const config = { ...AEAD, preferredAEADAlgorithm };
    rows.push([`password-${name}`, `a password, ${name.toUpperCase()}`, await encrypt({ passwords: 'noon', config })]);
  }
  const argon2: openpgp.PartialConfig = { ...AEAD, s2kType: openpgp.enums.s2k.argon2 as never };
  rows.push(
    ['v6-recipients', 'three version 6 keys', await encrypt({ encryptionKeys: v6, config: AEAD })],
    ['v6-hidden', 'version 6, nobody is named', await encrypt({ encryptionKeys: v6, wildcard: true, config: AEAD })],
    ['hidden', 'version 3 PKESK, nobody is named', await encrypt({ encryptionKeys: keys.get('rsa')!, wildcard: true })],
    ['all', 'keys of all kinds', await encrypt({ encryptionKeys: KEYS.map(([name]) => keys.get(name)!) })],
    ['password', 'a password only', await encrypt({ passwords: 'noon' })],
    ['passwords', 'three passwords', await encrypt({ passwords: ['noon', 'clock', 'old'] })],
    ['argon2', 'a password through Argon2', await encrypt({ passwords: 'noon', config: argon2 })],
    [
      'aead-chunks',
      'AEAD in the smallest chunks',
      await encrypt({ passwords: 'noon', message: await long(20_000), config: { ...AEAD, aeadChunkSizeByte: 0 } }),
    ],
    [
      'aead-long',
      '30 kB under AEAD',
      await encrypt({ encryptionKeys: v6[0]!, message: await long(30_000), config: AEAD }),
    ],
    ['long', '30 kB', await encrypt({ encryptionKeys: keys.get('x25519')!, message: await long(30_000) })],
    [
      'password-and-key',
      'a password and a key',
      await encrypt({ encryptionKeys: keys.get('x25519')!, passwords: 'noon' }),
    ],
  );
  const entries = rows.map(([name, why, armored]) =>
    encrypted(`openpgpjs-${name}`, `OpenPGP.js: ${why}`, withArmor(armored)),
  );

  const talkative = { config: { showComment: true, showVersion: true }, encryptionKeys: keys.get('x25519')! };
  entries.push({
    ...encrypted(
      'openpgpjs-comment',
      'OpenPGP.js: Version and Comment lines in the armor',
      withArmor(await encrypt(talkative)),
    ),
    outgoing: 'armor_header',
  });
  entries.push({
    ...encrypted(
      'openpgpjs-ocb',
      "OpenPGP.js: GnuPG's OCB packet (tag 20)",
      withArmor(await ocbPacket(keys.get('x25519')!)),
    ),
    outgoing: 'packet_unexpected',
  });
  return entries;
}

async function makeKey(options: KeyOptions, config: openpgp.PartialConfig): Promise<openpgp.PublicKey> {
  const given = { userIDs: [{ email: 'bob@relay.test' }], ...options, format: 'object', config };
  return (await openpgp.generateKey(given as Parameters<typeof openpgp.generateKey>[0] & { format: 'object' }))
    .publicKey;
}

async function long(bytes: number): Promise<openpgp.Message<Uint8Array>> {
  return await openpgp.createMessage({ binary: crypto.getRandomValues(new Uint8Array(bytes)) });
}

/** A version 3 PKESK before AEAD encrypted data as in the drafts between RFC 4880 and RFC 9580. */
async function ocbPacket(encryptionKeys: openpgp.PublicKey): Promise<string> {
  const sessionKey = await openpgp.generateSessionKey({ encryptionKeys });
  const { data, algorithm } = sessionKey;
  const message = await openpgp.encryptSessionKey({ data, algorithm, encryptionKeys, format: 'object' });
  const packet = new openpgp.AEADEncryptedDataPacket() as unknown as AeadPacket;
  packet.packets = (await openpgp.createMessage({ text: TEXT })).packets;
  packet.aeadAlgorithm = openpgp.enums.aead.ocb;
  await packet.encrypt(openpgp.enums.symmetric.aes256, data, openpgp.config);
  const stream = packet.encrypted as { readToEnd(join: (pieces: Uint8Array[]) => Uint8Array): Promise<Uint8Array> };
  packet.encrypted = await stream.readToEnd((pieces) => Buffer.concat(pieces));
  message.packets.push(packet as unknown as openpgp.AnyPacket);
  return message.armor();
}
