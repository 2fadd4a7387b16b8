import { diffieHellman, generateKeyPairSync } from 'node:crypto';
import * as openpgp from 'openpgp';
import t from 'tap';
import { createTokenDecryptor } from '../src/token-decrypt.ts';
import { encryptedMessage } from '../src/token-format.ts';
import { encrypt, encryptToken, generateKey } from './support/openpgp.ts';

const TOKEN = 'fcm-chat.delta:c67DVcpVQN2rJHiSszKNDW:APA91bErcJV2b8qG0IT4aiuCqw6Al0_SbydSuz3V0CHBR1X7Fp8Y';
const v6 = await generateKey('v6');
const v4 = await generateKey('v4');
const legacy = await generateKey('v4-legacy');
const other = await generateKey('v6');
const ring = createTokenDecryptor([v6, v4, legacy].map(({ armored }) => `comment\n${armored}\n`).join('\n'));

t.test('a token as the client makes it', async (t) => {
  const token = await encryptToken(TOKEN, v6.publicKey);
  t.equal(token.length, 924, 'as long as the tokens of core');
  const message = encryptedMessage(token) as Buffer;
  const packets = await openpgp.readMessage({ binaryMessage: message });
  t.match(
    packets.packets.map((packet) => ({ ...packet })),
    [{ version: 6 }, { version: 2, aeadAlgorithm: openpgp.enums.aead.ocb, chunkSizeByte: 7 }],
    'PKESK v6 and SEIPD v2',
  );
  t.same(await ring.decrypt(message), { kind: 'token', text: TOKEN }, 'without its padding');
});

t.test('every key of the ring', async (t) => {
  for (const [name, { publicKey }] of Object.entries({ v6, v4, legacy })) {
    t.same(await ring.decrypt(await encrypt(TOKEN, [publicKey])), { kind: 'token', text: TOKEN }, name);
    t.same(
      await ring.decrypt(await encrypt(TOKEN, [publicKey], { wildcard: true })),
      { kind: 'token', text: TOKEN },
      `${name}, its recipient hidden`,
    );
  }
  t.same(
    await ring.decrypt(await encrypt(TOKEN, [other.publicKey, v4.publicKey])),
    { kind: 'token', text: TOKEN },
    'one of two recipients',
  );
});

t.test('when the keys end', async (t) => {
  const ending = async (seconds: number) => {
    const { privateKey } = await openpgp.generateKey({
      userIDs: [{ name: 'x' }],
      keyExpirationTime: seconds,
      format: 'object',
    });
    return privateKey.armor();
  };
  const [week, day] = [await ending(7 * 86_400), await ending(86_400)];
  const rotating = createTokenDecryptor(`${day}\n${week}`);
  t.equal(rotating.keysEndAt(), undefined, 'not loaded yet');
  await rotating.prepare();
  const days = (rotating.keysEndAt()! - Date.now()) / 86_400_000;
  t.ok(days > 6.9 && days < 7.1, 'the one that ends last counts');
  const lasting = createTokenDecryptor(`${day}\n${v4.armored}`);
  await lasting.prepare();
  t.equal(lasting.keysEndAt(), undefined, 'never');

  const withSubkeys = async (primarySeconds: number, ...subkeys: { keyExpirationTime: number; sign?: boolean }[]) => {
    const { privateKey } = await openpgp.generateKey({
      userIDs: [{ name: 'x' }],
      keyExpirationTime: primarySeconds,
      subkeys,
      format: 'object',
    });
    const decryptor = createTokenDecryptor(privateKey.armor());
    await decryptor.prepare();
    const endsAt = decryptor.keysEndAt();
    return endsAt === undefined ? undefined : Math.round((endsAt - Date.now()) / 86_400_000);
  };
  const [never, oneDay, oneWeek] = [0, 86_400, 7 * 86_400];
  t.equal(await withSubkeys(never, { keyExpirationTime: oneDay }), 1, 'the subkey decrypts: it counts');
  t.equal(await withSubkeys(oneDay, { keyExpirationTime: oneWeek }), 1, 'with the primary key its subkeys end');
  t.equal(
    await withSubkeys(never, { keyExpirationTime: oneDay }, { keyExpirationTime: oneWeek }),
    7,
    'the later of two',
  );
  const signing = { keyExpirationTime: oneDay, sign: true };
  t.equal(await withSubkeys(never, { keyExpirationTime: oneWeek }, signing), 7, 'one that only signs does not count');
});

t.test('messages that cannot be decrypted', async (t) => {
  const message = await encrypt(TOKEN, [v6.publicKey]);
  const flipped = Buffer.from(message);
  flipped[flipped.length - 40]! ^= 1;
  const hiddenForeign = await encrypt(TOKEN, [other.publicKey], { wildcard: true });
  const bomb = await encrypt('x'.repeat(10_000_000), [v4.publicKey], {
    config: { preferredCompressionAlgorithm: openpgp.enums.compression.zlib, aeadProtect: false },
  });
  const rows: [message: Buffer, kind: string, reason: string][] = [
    [await encrypt(TOKEN, [other.publicKey]), 'foreign', 'to a key that is not ours'],
    [await encrypt(TOKEN, [(await generateKey('v4')).publicKey]), 'foreign', 'to a v4 key that is not ours'],
    [hiddenForeign, 'failed', 'nobody can say whose it is'],
    [flipped, 'failed', 'damaged'],
    [message.subarray(0, 200), 'failed', 'cut off'],
    [Buffer.from('hello'), 'failed', 'not OpenPGP'],
    [Buffer.alloc(0), 'failed', 'empty'],
    [Buffer.alloc(3000, 0xff), 'failed', 'noise'],
    [bomb, 'failed', 'compressed 10 MB'],
  ];
  for (const [input, kind, reason] of rows) t.same(await ring.decrypt(input), { kind }, reason);
});

t.test('keyrings that cannot be used', async (t) => {
  const { privateKey } = await openpgp.generateKey({
    userIDs: [{ name: 'x' }],
    passphrase: 'secret',
    format: 'object',
  });
  const rows: [keyring: string, code: string, reason: string][] = [
    ['', 'ERR_KEYRING_EMPTY', 'empty'],
    [v6.publicKey.armor(), 'ERR_KEYRING_EMPTY', 'a public key'],
    [v6.armored.replace(/\n\n.{20}/, `\n\n${'B'.repeat(20)}`), 'ERR_KEYRING_UNREADABLE', 'damaged'],
    [privateKey.armor(), 'ERR_KEYRING_LOCKED', 'with a passphrase'],
    [`${v6.armored}\n`.repeat(17), 'ERR_KEYRING_EMPTY', 'too many'],
  ];
  for (const [keyring, code, reason] of rows) {
    const broken = createTokenDecryptor(keyring);
    await t.rejects(broken.prepare(), { code }, reason);
    await t.rejects(broken.decrypt(Buffer.from('x')), { code }, `${reason}: never calls a token foreign`);
  }
});

t.test('a decryption costs no more than the few elliptic-curve operations it needs', async (t) => {
  const message = await encrypt(TOKEN.padEnd(512), [v6.publicKey]);
  const { privateKey: ours, publicKey: theirs } = generateKeyPairSync('x25519');
  const agree = async () => void diffieHellman({ privateKey: ours, publicKey: theirs });
  const unit = await cpuMs(2000, agree);
  await cpuMs(20, () => ring.decrypt(message));
  const cost = await cpuMs(100, () => ring.decrypt(message));
  t.comment(`${cost.toFixed(2)} ms of processor time, ${(cost / unit).toFixed(0)} key agreements`);
  t.ok(cost / unit < 200, 'not the work of seconds; it is 1 to 3 ms on a quiet machine');
});

/** Processor time of one call, ms: unlike time on the clock, what else the machine does hardly changes it. */
async function cpuMs(times: number, work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < times; i++) await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / times;
}
