/**
 * Properties of the whole session: any chunking gives the same conversation; any bytes end in replies of the table or a
 * typed error, without hanging and in bounded memory.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { type DictHandler, DictProtocolError, failed, found, foundMany, notFound } from '#dovecot-dict';
import { decodeCommitReply, decodeLookupReply } from '../src/testing.ts';
import { startSession } from './harness.ts';
import { MemoryDict } from './memory-dict.ts';

/** Lines that are nearly right reach deeper than random bytes do. */
const word = fc.oneof(
  fc.constantFrom('1', '2', '0', '9', 'priv/a', 'priv/', 'shared/k', '', 'u@x', 'x\x01ny', '\x01', '-7'),
  fc.string({ unit: 'binary-ascii', maxLength: 8 }),
  fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
);
const line = fc
  .tuple(fc.constantFrom(...'LLLIIBBSSSUATVRCCDHX', ''), fc.array(word, { maxLength: 5 }))
  .map(([letter, words]) => `${letter}${words.join('\t')}\n`);
const conversation = fc
  .tuple(fc.constantFrom('H3\t2\t0\t\tn\n', 'H4\t0\t0\t\tn\n', ''), fc.array(line, { maxLength: 30 }))
  .map(([hello, lines]) => hello + lines.join(''));

const limits = { maxLineBytes: 200, maxValueBytes: 8, maxTransactions: 3, maxOperations: 3, maxTransactionBytes: 2000 };

/** Plays a conversation in the given pieces; resolves with replies and the error's code. */
async function play(handler: DictHandler, text: string, sizes: readonly number[]): Promise<[string, string]> {
  const { send, sent } = startSession(handler, { limits });
  try {
    let start = 0;
    for (const size of [...sizes, text.length]) {
      await send(text.slice(start, start + size));
      start += size;
    }
    return [sent(), ''];
  } catch (error) {
    assert.ok(error instanceof DictProtocolError, `${error}`);
    return [sent(), error.code];
  }
}

/** Whether all of it is replies: lookups' and commits' alike, rows, ends of iterations. */
function isAllReplies(text: string): boolean {
  return text
    .split('\n')
    .slice(0, -1)
    .every((reply) => {
      if (reply === '' || /^O[^\t]+(?:\t[^\t]*)+$/.test(reply)) return true;
      const bytes = Buffer.from(reply, 'latin1');
      return isDecodable(decodeLookupReply, bytes) || isDecodable(decodeCommitReply, bytes);
    });
}

function isDecodable(decode: (line: Buffer) => unknown, bytes: Buffer): boolean {
  try {
    decode(bytes);
    return true;
  } catch {
    return false;
  }
}

t.test('any chunking gives the same conversation', async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(
        conversation,
        fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 60 }),
        async (text, sizes) => {
          const entries = { 'shared/k': '1', 'u@x\0priv/a': 'x' };
          const whole = await play(new MemoryDict(entries), text, []);
          assert.deepEqual(await play(new MemoryDict(entries), text, sizes), whole);
        },
      ),
      { numRuns: 300 },
    ),
  );
});

t.test('whatever comes, only replies of the table go out, and errors are typed', async (t) => {
  const answers = [found(''), found('a\tb\n'), foundMany(['x', '\r\n']), notFound, failed('a\nOb')];
  await t.resolves(
    fc.assert(
      fc.asyncProperty(conversation, fc.nat(), async (text, seed) => {
        let count = seed;
        const pick = () => answers[count++ % answers.length]!;
        const handler: DictHandler = {
          lookup: () => (count % 3 === 0 ? Promise.resolve(pick()) : pick()),
          // Often a reply that no commit has: the session must not let it out.
          commit: () => pick() as never,
          iterate: ({ path }) => (count++ % 4 === 0 ? failed('no\nrows') : [{ key: path, value: 'v\n' }]),
        };
        const [replies] = await play(handler, text, []);
        assert.ok(isAllReplies(replies), replies);
      }),
      { numRuns: 300 },
    ),
  );
});

t.test('any bytes at all', async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.boolean(), async (bytes, isGreeted) => {
        const text = (isGreeted ? 'H3\n' : '') + Buffer.from(bytes).toString('latin1');
        const [replies] = await play(new MemoryDict(), text, []);
        assert.ok(isAllReplies(replies), replies);
      }),
      { numRuns: 300 },
    ),
  );
});

t.test('a peer that only ever opens and fills costs no more than its limits', async (t) => {
  const { session, send } = startSession(new MemoryDict());
  await send('H3\t2\t0\t\tn\n');
  const big = 'v'.repeat(60_000);
  const fill = Buffer.from(Array.from({ length: 60 }, (_, id) => `S${id}\tk\t${big}\n`).join(''), 'latin1');
  for (let id = 0; id < 60; id++) await send(`B${id}\tu\n`);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 30; i++) {
    const rest = session.receive(fill);
    if (rest !== undefined) await rest;
  }
  // 108 MB were sent. 1 MiB may be kept; the rest of the allowance is for copies that are not collected yet.
  t.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024);
});
