import { randomBytes } from 'node:crypto';
import t from 'tap';
import { LIMIT_BITS, PARTS_OF_A_BIT, SCORES, STRIDE } from '../src/text-model.ts';
import { TextScan } from '../src/text-scan.ts';
import { chunksOf } from './support/judge.ts';
import { noise } from './support/openpgp.ts';

const ENGLISH =
  'Dear Bob lets meet at the old bridge on Friday evening around nine and bring the documents we talked about last week ' +
  'because the committee wants to see them before the vote takes place and nobody else must know about any of this';
const GERMAN =
  'Lieber Bob wir treffen uns am Freitag Abend gegen neun Uhr an der alten Bruecke und bring die Unterlagen mit';
const RUSSIAN =
  'Dorogoy Boris davay vstretimsya u starogo mosta v pyatnitsu vecherom okolo devyati i prinesi dokumenty';
const TURKISH = 'Sevgili Bob cuma aksami dokuz gibi eski koprude bulusalim ve gecen hafta konustugumuz belgeleri getir';

const MODELS = 6;
const BYTE_MODEL = 5;
/** Text as it can stand in an armor, its beginning left to chance. */
const inArmor = (text: string, blank = '/') => text.replaceAll(' ', blank).replace(/[^A-Za-z0-9+/]/g, '');

/** True when a text is found between random data, at each of the places a group of four characters has. */
function finds(characters: string): boolean {
  return [0, 1, 2, 3, 21, 34, 47].every((shift) => {
    const text =
      noise(300)
        .toString('base64')
        .slice(0, 200 + shift) +
      characters +
      noise(300, 'b').toString('base64');
    const bytes = Buffer.from(text.slice(0, text.length - (text.length % 4)), 'base64');
    return !scan(bytes);
  });
}

function scan(bytes: Buffer, position = 0, cuts: readonly number[] = []): boolean {
  const test = new TextScan();
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    test.push(bytes, from, to, position + from);
    from = to;
  }
  return test.finish();
}

t.test('text that stands in an armor between ciphertext', (t) => {
  const rows: readonly [characters: string, why: string][] = [
    [inArmor(ENGLISH).slice(0, 60), '60 characters of English'],
    [inArmor(ENGLISH, '+').slice(0, 60), 'with + for blanks'],
    [inArmor(ENGLISH, '').slice(0, 80), 'without blanks'],
    [inArmor(ENGLISH.toUpperCase()).slice(0, 60), 'capitals'],
    [inArmor(GERMAN).slice(0, 64), 'German'],
    [inArmor(RUSSIAN).slice(0, 72), 'Russian in Latin letters'],
    [inArmor(TURKISH).slice(0, 72), 'Turkish'],
    ['0123456789'.repeat(4), '40 digits'],
    ['+4930123456/+49301234567/+4940765432/', 'telephone numbers'],
    [noise(30).toString('hex'), '60 hexadecimal digits'],
    [noise(30).toString('hex').toUpperCase(), 'the same in capitals'],
    ['A'.repeat(40), 'the same character'],
  ];
  for (const [characters, why] of rows) t.ok(finds(characters), why);
  for (const shift of [0, 1, 2, 7]) {
    const bytes = Buffer.concat([noise(300 + shift), Buffer.from(ENGLISH.slice(shift, shift + 28)), noise(300)]);
    t.notOk(scan(bytes), '28 bytes of ASCII, which the armor hides from the eye only');
  }
  t.end();
});

t.test('nothing but a text, from 54 characters on, which is the shortest data', (t) => {
  for (const text of [ENGLISH, GERMAN, RUSSIAN, ENGLISH.toUpperCase()]) {
    for (let from = 0; from < 40; from++) {
      const bytes = Buffer.from(inArmor(text).slice(from, from + 56), 'base64');
      t.notOk(scan(bytes), `${text.slice(0, 10)} from ${from}`);
    }
  }
  t.end();
});

t.test('a text cut into short parts', (t) => {
  const text = inArmor(ENGLISH).slice(0, 160);
  const test = new TextScan();
  // As long as key ids, about.
  const bytes = Buffer.from(text, 'base64');
  for (let at = 0; at + 9 <= bytes.length; at += 9) test.push(bytes, at, at + 9, 999 + at * 13);
  t.notOk(test.finish());
  t.end();
});

/** The largest sum, of all places it can begin at: the definition, without blocks and without leaving any out. Bits. */
function largestSum(bytes: Buffer): number {
  let largest = 0;
  const sumUp = (values: Iterable<number>, model: number) => {
    let sum = 0;
    for (const value of values) {
      sum = Math.max(0, sum + SCORES[value * STRIDE + model]!);
      largest = Math.max(largest, sum);
    }
  };
  const sextets: number[] = [];
  for (let i = 0; i + 3 <= bytes.length; i += 3) {
    const group = bytes.readUIntBE(i, 3);
    sextets.push(group >> 18, (group >> 12) & 63, (group >> 6) & 63, group & 63);
  }
  for (let model = 0; model < BYTE_MODEL; model++) sumUp(sextets, model);
  sumUp(
    [...bytes].map((byte) => 64 + byte),
    BYTE_MODEL,
  );
  return largest / PARTS_OF_A_BIT;
}

t.test('the bound of a false positive', (t) => {
  for (let model = 0; model < MODELS; model++) {
    const [from, count] = model === BYTE_MODEL ? [64, 256] : [0, 64];
    let mean = 0;
    for (let value = 0; value < count; value++) {
      mean += 2 ** (SCORES[(from + value) * STRIDE + model]! / PARTS_OF_A_BIT) / count;
    }
    t.ok(mean <= 1, `model ${model}: the mean of 2^score is ${mean}`);
    t.ok(mean > 0.9, 'and not needlessly low');
  }
  const perMessage = (megabytes: number) => (5 * megabytes * 1.01e6 + megabytes * 0.78e6) * 2 ** -LIMIT_BITS;
  t.ok(perMessage(30) < 5e-11, 'a message of 30 MB');
  t.ok(perMessage(600) < 1e-9, 'even one of 600 MB');
  t.end();
});

t.test('ciphertext: sums are as rare as the bound says', (t) => {
  const rows: readonly [source: string, length: number, windows: number][] = [
    ['seeded', 42, 4000],
    ['seeded', 3072, 100],
    ['random', 42, 4000],
    ['random', 3072, 100],
    ['random', 150_000, 4],
  ];
  for (const [source, length, windows] of rows) {
    const all = source === 'seeded' ? noise(length * windows) : randomBytes(length * windows);
    const sums = Array.from({ length: windows }, (_, i) => largestSum(all.subarray(i * length, (i + 1) * length)));
    const places = (length * 4 * BYTE_MODEL) / 3 + length;
    for (const bits of [14, 18, 22]) {
      const expected = windows * places * 2 ** -bits;
      const found = sums.filter((sum) => sum >= bits).length;
      // Six standard deviations above a bound: this fails once in 10^9 runs.
      t.ok(
        found <= expected + 6 * Math.sqrt(expected) + 6,
        `${source}, ${windows} x ${length}: ${found} of ${expected}`,
      );
    }
    t.ok(Math.max(...sums) < LIMIT_BITS, `none of ${windows} is refused`);
  }
  t.end();
});

t.test('ciphertext passes', (t) => {
  for (let length = 0; length < 400; length++) {
    if (!scan(randomBytes(length), length)) t.fail(`${length} bytes`);
    if (!scan(noise(length, `${length}`), length)) t.fail(`${length} bytes of the seed`);
  }
  t.ok(scan(randomBytes(12 << 20)), '12 MB');
  t.end();
});

t.test('chunks do not matter, and nothing is found that the definition does not find', (t) => {
  const found: number[] = [];
  for (let i = 0; i < 60; i++) {
    const text = Buffer.from(inArmor(ENGLISH).slice(i, i + 30 + i), 'base64');
    // Longer than what is copied at once where data lies elsewhere.
    const bytes = Buffer.concat([noise(4050 + i, `${i}`), text, noise(200, `b${i}`)]);
    const expected = scan(bytes);
    if (!expected) found.push(i);
    if (!expected && largestSum(bytes) < LIMIT_BITS && largestSum(bytes.subarray(1)) < LIMIT_BITS)
      t.ok(largestSum(bytes.subarray(2)) >= LIMIT_BITS, `case ${i}`);
    for (const size of [1, 5, 12, 13, 97, 4091, 4092]) {
      if (scan(bytes, 0, chunksOf(bytes.length, size)) !== expected) t.fail(`case ${i} in chunks of ${size}`);
    }
  }
  t.ok(found.length > 10 && found.length < 60, `${found.length} of 60 found`);
  t.end();
});

t.test('scans that take turns do not disturb each other', (t) => {
  const text = Buffer.from(inArmor(ENGLISH), 'base64');
  const streams = [
    noise(900, 'a'),
    Buffer.concat([noise(300, 'b'), text.subarray(0, 60), noise(540)]),
    noise(900, 'c'),
  ];
  const scans = streams.map(() => new TextScan());
  for (let at = 0; at < 900; at += 10) {
    for (const [i, bytes] of streams.entries()) scans[i]!.push(bytes, at, at + 10, at);
  }
  t.same(
    scans.map((scan) => scan.finish()),
    [true, false, true],
  );
  t.end();
});
