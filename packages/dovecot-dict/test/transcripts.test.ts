/** Conversations recorded from real Dovecots, replayed at every chunk size: the same replies, byte for byte. */
import assert from 'node:assert/strict';
import t from 'tap';
import { startSession } from './harness.ts';
import { MemoryDict } from './memory-dict.ts';
import { formatLines, parseTranscript, readTranscripts, type Transcript } from './transcript.ts';

/** Replays all connections; resolves with what is stored in the end. */
async function replay(transcript: Transcript, chunkBytes: number): Promise<Map<string, Buffer>> {
  const dict = new MemoryDict(transcript.entries);
  for (const exchanges of transcript.connections) {
    const { session, sent } = startSession(dict);
    let expected = '';
    for (const { received, replies } of exchanges) {
      for (let start = 0; start < received.length; start += chunkBytes) {
        // Only iterations are promises here; awaiting each of a million chunks would be most of the test's time.
        const rest = session.receive(received.subarray(start, start + chunkBytes));
        if (rest !== undefined) await rest;
      }
      expected += replies.toString('latin1');
      assert.equal(sent(), expected, `${transcript.name}, chunks of ${chunkBytes} bytes`);
    }
    assert.ok(session.idle, 'the recording ends between commands');
    session.end();
  }
  return dict.entries;
}

const transcripts = readTranscripts();
t.ok(transcripts.length >= 5, 'transcripts are found');

for (const transcript of transcripts) {
  t.test(transcript.name, async (t) => {
    const longest = Math.max(...transcript.connections.flat().map(({ received }) => received.length));
    const stored = await replay(transcript, longest);
    t.ok(stored.size > 0);
    for (let chunkBytes = 1; chunkBytes < longest; chunkBytes++) {
      assert.deepEqual(await replay(transcript, chunkBytes), stored);
    }
  });
}

t.test('the transcripts hold what they are meant to show', (t) => {
  const text = transcripts
    .flatMap(({ connections }) => connections.flat())
    .map(({ received }) => received.toString('latin1'))
    .join('');
  for (const letter of 'HLIBSUARC') t.match(text, new RegExp(`^${letter}`, 'm'), `a command ${letter}`);
  t.match(text, /^H3\t/m, 'version 3');
  t.match(text, /^H4\t/m, 'version 4');
  t.end();
});

t.test('the format', (t) => {
  const bytes = Buffer.from('a\\x\t\r\x00\xff"~\n', 'latin1');
  const text = formatLines('>', bytes);
  t.equal(text, '> a\\\\x\\t\\r\\x00\\xff"~\\n\n');
  const parsed = parseTranscript('t', `# peer\n= k\\t\\xe4\n\n${text}< O\\n\n> b\n\n> c\n`);
  t.strictSame(parsed.entries, { k: '\xe4' });
  t.strictSame(parsed.connections, [
    [
      { received: bytes, replies: Buffer.from('O\n') },
      { received: Buffer.from('b'), replies: Buffer.alloc(0) },
    ],
    [{ received: Buffer.from('c'), replies: Buffer.alloc(0) }],
  ]);
  t.throws(() => parseTranscript('t', 'nonsense'));
  t.end();
});
