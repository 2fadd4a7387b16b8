import { randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import t from 'tap';
import { BYTE_LIMIT_NATS, looksRandom, NIBBLE_LIMIT_NATS, RandomnessTest } from '../src/randomness.ts';
import { noise } from './support/openpgp.ts';

const ENGLISH =
  'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was the ' +
  'epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness. ';
const RUSSIAN = 'Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. ';
const CHINESE = '道可道，非常道；名可名，非常名。无名天地之始；有名万物之母。故常无欲，以观其妙；常有欲，以观其徼。';

/** ln of the bound derived in randomness.ts. */
function lnBound(limit: number, classes: number): number {
  return -limit + (classes - 1) * (1 + Math.log(limit / (classes - 1)));
}

t.test('both limits keep the bound of a false positive under 1e-15 per window', (t) => {
  t.ok(lnBound(BYTE_LIMIT_NATS, 256) < Math.log(1e-15));
  t.ok(lnBound(NIBBLE_LIMIT_NATS, 16) < Math.log(1e-15));
  t.ok(lnBound(BYTE_LIMIT_NATS - 3, 256) > Math.log(1e-15), 'and are not needlessly high');
  t.ok(lnBound(NIBBLE_LIMIT_NATS - 2, 16) > Math.log(1e-15));
  t.end();
});

t.test('random bytes pass at every length', (t) => {
  const lengths = Array.from({ length: 2000 }, (_, length) => length);
  t.same(
    lengths.filter((length) => !looksRandom(randomBytes(length))),
    [],
    'up to 2000 bytes',
  );
  t.ok(looksRandom(randomBytes(4 << 20)), '1024 windows');
  t.end();
});

t.test('what is not ciphertext', (t) => {
  const repeat = (text: string, length: number) =>
    Buffer.from(text.repeat(Math.ceil(length / text.length))).subarray(0, length);
  const rows: readonly [bytes: Buffer, random: boolean, why: string][] = [
    [repeat(ENGLISH, 60), false, '60 bytes of English'],
    [repeat(ENGLISH, 5000), false, 'English'],
    [repeat(RUSSIAN, 80), false, '80 bytes of Russian in UTF-8'],
    [repeat(CHINESE, 120), false, '120 bytes of Chinese in UTF-8'],
    [Buffer.from(ENGLISH, 'utf16le'), false, 'English in UTF-16'],
    [Buffer.alloc(64), false, 'zeros'],
    [Buffer.alloc(64, 0xff), false, 'one byte repeated'],
    [Buffer.from(noise(60).toString('base64')), false, 'base64 of ciphertext'],
    [Buffer.from(noise(60).toString('hex')), false, 'hexadecimal ciphertext'],
    [Buffer.from(noise(4000).toString('base64')), false, 'a lot of base64'],
    [Buffer.concat([noise(100_000), repeat(ENGLISH, 700), noise(100_000)]), false, 'English inside ciphertext'],
    [Buffer.concat([noise(100_000), repeat(ENGLISH, 300)]), false, 'English after ciphertext, in a window of its own'],
    [
      Buffer.concat(Array.from({ length: 40 }, (_, i) => Buffer.concat([noise(3796, `${i}`), repeat(ENGLISH, 300)]))),
      false,
      'a little English in every window',
    ],
    [Buffer.from(Array.from({ length: 4096 }, (_, i) => i & 0xff)), true, 'too even is not looked for'],
    [deflateRawSync(randomBytes(100_000)), true, 'compressed data cannot be told'],
    [noise(40), true, 'ciphertext'],
  ];
  for (const [bytes, random, why] of rows) t.equal(looksRandom(bytes), random, why);
  t.end();
});

t.test('chunks do not matter', (t) => {
  const bytes = Buffer.concat([noise(9000), Buffer.from(ENGLISH.repeat(4)), noise(5000)]);
  for (const size of [1, 7, 4095, 4096, 4097]) {
    const test = new RandomnessTest();
    for (let at = 0; at < bytes.length; at += size) test.push(bytes, at, Math.min(bytes.length, at + size));
    t.equal(test.finish(), false, `chunks of ${size}`);
  }
  t.end();
});

/** The definition, in one piece: sum h*ln(k*h/n) of bytes and of their upper halves below the limits. */
function isEven(bytes: Uint8Array): boolean {
  const entropy = (classes: number) => {
    const counts = new Array<number>(classes).fill(0);
    for (const byte of bytes) counts[Math.floor((byte * classes) / 256)]!++;
    return counts.reduce((sum, h) => (h === 0 ? sum : sum + h * Math.log((classes * h) / bytes.length)), 0);
  };
  return entropy(256) < BYTE_LIMIT_NATS && entropy(16) < NIBBLE_LIMIT_NATS;
}

/** Every window and the whole. */
function isRandom(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += 4096) if (!isEven(bytes.subarray(at, at + 4096))) return false;
  return bytes.length === 0 || isEven(bytes);
}

t.test('agrees with the definition, near the limits too', (t) => {
  let refused = 0;
  for (let i = 0; i < 400; i++) {
    const length = [50, 300, 1000, 4096, 4097, 9000, 40_000][i % 7]!;
    const bytes = noise(length, `${i}`);
    // Some bytes made the same, or of the same upper half: enough to be near one of the limits.
    const share = (i % 40) / 120;
    for (let at = 0; at < length * share; at++) {
      const place = Math.floor((at * 7919) % length);
      bytes[place] = i % 2 === 0 ? 0x41 : (bytes[place]! & 0x0f) | 0x60;
    }
    const expected = isRandom(bytes);
    if (!expected) refused++;
    if (looksRandom(bytes) !== expected) t.fail(`case ${i}, ${length} bytes`);
  }
  t.ok(refused > 50 && refused < 350, `${refused} of 400 refused`);
  t.end();
});

t.test('tests that take turns do not disturb each other', (t) => {
  const d = noise(12_000, 'd');
  const streams = [
    noise(30_000, 'a'),
    Buffer.concat([noise(9000, 'b'), Buffer.from(ENGLISH.repeat(5))]),
    noise(5000, 'c'),
    Buffer.from(Array.from({ length: 12_000 }, (_, i) => (i % 9 === 0 ? 0x20 : d[i]!))),
  ];
  const tests = streams.map(() => new RandomnessTest());
  for (let at = 0; at < 30_000; at += 700) {
    for (const [i, bytes] of streams.entries())
      tests[i]!.push(bytes, Math.min(at, bytes.length), Math.min(at + 700, bytes.length));
  }
  t.same(
    tests.map((test) => test.finish()),
    streams.map(isRandom),
  );
  t.same(streams.map(isRandom), [true, false, true, false]);
  t.end();
});
