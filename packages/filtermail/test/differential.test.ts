/**
 * Two others read what we accept: `@zone-eu/mailsplit` its MIME, OpenPGP.js its packets. Both are mail software of their own, so
 * where we say "one encrypted message and nothing else" and they see something else, so might a recipient's program. They
 * may accept what we refuse. Messages of the corpus, as they are and with random changes.
 */

import fc from 'fast-check';
import t from 'tap';
import { PacketWalker } from '../src/openpgp.ts';
import { asPostfix, CORPUS, EXPECTED, readCorpus, reasonFor } from './support/corpus.ts';
import { run } from './support/judge.ts';
import { mimeDifference, packetDifference, packetsOf } from './support/readers.ts';

const ACCEPTED = ['encrypted', 'securejoin'];
/** Short ones, so that a change hits something else than ciphertext. */
const accepted = [...new Set(EXPECTED.filter((row) => ACCEPTED.includes(row[2])).map(([file]) => file))]
  .map((file) => ({ file, text: readCorpus(file) }))
  .filter(({ text }) => text.length < 6000);

t.test('MIME of the corpus', async (t) => {
  for (const [file, , reason] of EXPECTED) {
    if (!ACCEPTED.includes(reason)) continue;
    t.equal(await mimeDifference(readCorpus(file), reason), undefined, file);
  }
});

const TOKENS = [
  ...['\r\n', '\n', '\r', '\0', ' ', '\t', ':', ';', '"', '\\', '(', ')', '=', '--', '-', '\xe9', 'A'],
  ...['\r\n\r\n', '\r\n ', '\r\n\t\r\n', '\r\n \r\n', '; boundary=x', '*0=', '=?utf-8?q?b?=', 'Version: 1'],
  ...['Content-Type: text/plain\r\n', 'Content-Type: multipart/mixed; boundary=x\r\n', '\r\n--x\r\n', '\r\n--x--\r\n'],
  ...['Content-Transfer-Encoding: base64\r\n', '-----END PGP MESSAGE-----\r\n', '=AAAA\r\n', 'Dear Bob\r\n'],
];

interface Change {
  readonly at: number;
  readonly deleted: number;
  readonly token: string;
}

/** One to three changes of a message, mostly where its structure is and not where its ciphertext is. */
const changes = fc.array(
  fc.record({
    at: fc.nat(),
    deleted: fc.constantFrom(0, 0, 0, 1, 2, 10),
    token: fc.constantFrom('', ...TOKENS, 'BOUNDARY'),
  }),
  { minLength: 1, maxLength: 3 },
);

function change(text: string, { at, deleted, token }: Change): string {
  const structure = [...text.matchAll(/[^\r\n]{0,60}/g)].filter(([line]) => !/^[A-Za-z0-9+/]{60}$/.test(line!));
  const place = structure[at % structure.length]!;
  const from = place.index + (at % (place[0].length + 1));
  const boundary = /boundary="?([^"\r\n;]+)/.exec(text)?.[1] ?? 'x';
  const inserted = token === 'BOUNDARY' ? `\r\n--${boundary}\r\n` : token;
  return text.slice(0, from) + inserted + text.slice(from + deleted);
}

t.test('MIME of changed messages', async (t) => {
  let stillAccepted = 0;
  const property = fc.asyncProperty(fc.nat(accepted.length - 1), changes, async (at, list) => {
    const changed = asPostfix(list.reduce(change, accepted[at]!.text));
    const reason = await reasonFor(changed, 'incoming');
    if (!ACCEPTED.includes(reason)) return;
    stillAccepted++;
    const difference = await mimeDifference(changed, reason);
    if (difference !== undefined) throw new Error(`mailsplit sees: ${difference}\n${changed.slice(0, 1500)}`);
  });
  await fc.assert(property, { numRuns: Number(process.env.RUNS ?? 1500) });
  t.ok(stillAccepted > 50, `${stillAccepted} changed messages are accepted`);
});

const walk = (bytes: Buffer) => run(new PacketWalker({ allowOcb: true }), bytes);

t.test('packets of the corpus', async (t) => {
  for (const file of CORPUS) {
    const bytes = packetsOf(readCorpus(file));
    if (bytes === undefined || walk(bytes) !== 'ok') continue;
    t.equal(await packetDifference(bytes), undefined, file);
  }
});

t.test('packets of changed messages', async (t) => {
  const messages = accepted.flatMap(({ text }) => packetsOf(text) ?? []).filter((bytes) => walk(bytes) === 'ok');
  const edits = fc.array(fc.record({ at: fc.nat(), deleted: fc.constantFrom(0, 0, 1), value: fc.nat(255) }), {
    minLength: 1,
    maxLength: 2,
  });
  let stillAccepted = 0;
  const property = fc.asyncProperty(fc.nat(messages.length - 1), edits, fc.nat(120), async (at, list, near) => {
    const bytes = list.reduce((bytes, { at, deleted, value }) => {
      // Half of them near the beginning, where the fields are.
      const from = at % (at % 2 === 0 ? Math.min(bytes.length, near + 1) : bytes.length);
      const rest = bytes.subarray(from + 1 - (deleted === 0 && value % 2 === 0 ? 1 : 0));
      return Buffer.concat([bytes.subarray(0, from), deleted ? Buffer.alloc(0) : Buffer.from([value]), rest]);
    }, messages[at]!);
    if (walk(bytes) !== 'ok') return;
    stillAccepted++;
    const difference = await packetDifference(bytes);
    if (difference !== undefined) throw new Error(`OpenPGP.js: ${difference}\n${bytes.toString('hex')}`);
  });
  await fc.assert(property, { numRuns: Number(process.env.RUNS ?? 1500) });
  t.ok(stillAccepted > 50, `${stillAccepted} changed messages are accepted`);
});
