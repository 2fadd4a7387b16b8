/** Frames: any chunking gives the same frames, bodies are streamed, lengths are bounded. */

import fc from 'fast-check';
import t from 'tap';
import { encodeFrame, FrameReader, type FrameSink } from '../src/frame.ts';
import { MAX_FRAME_BYTES, SMFIC_BODY, SMFIC_HELO, SMFIC_QUIT } from '../src/protocol.ts';

interface Seen {
  readonly command: number;
  readonly data: Buffer;
}

/** Collects frames; body pieces are joined, and must add up by themselves. */
class Collector implements FrameSink {
  readonly frames: Seen[] = [];
  pieces: Buffer[] = [];
  largestPiece = 0;

  frame(command: number, data: Buffer): boolean {
    this.frames.push({ command, data: Buffer.from(data) });
    return true;
  }

  body(piece: Buffer, last: boolean): boolean {
    this.largestPiece = Math.max(this.largestPiece, piece.length);
    this.pieces.push(Buffer.from(piece));
    if (!last) return true;
    this.frames.push({ command: SMFIC_BODY, data: Buffer.concat(this.pieces) });
    this.pieces = [];
    return true;
  }
}

function readAll(bytes: Buffer, sizes: readonly number[]): Collector {
  const sink = new Collector();
  const reader = new FrameReader(sink);
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    reader.push(bytes.subarray(at, at + size));
    at += size;
  }
  return sink;
}

const frames = fc.array(
  fc.record({ command: fc.constantFrom(SMFIC_HELO, SMFIC_BODY, SMFIC_QUIT), data: fc.uint8Array() }),
);
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });

t.test('any chunking gives the frames that were encoded', async (t) => {
  fc.assert(
    fc.property(frames, sizes, (given, chunkSizes) => {
      const bytes = Buffer.concat(given.map(({ command, data }) => encodeFrame(command, data)));
      const { frames: seen, pieces } = readAll(bytes, chunkSizes);
      t.strictSame(
        seen.map(({ command, data }) => [command, data.toString('hex')]),
        given.map(({ command, data }) => [command, Buffer.from(data).toString('hex')]),
      );
      t.equal(pieces.length, 0);
    }),
    { numRuns: 200 },
  );
});

t.test('a sink that says stop gets the rest later, and loses nothing', async (t) => {
  fc.assert(
    fc.property(frames, fc.array(fc.boolean(), { minLength: 1 }), (given, answers) => {
      const bytes = Buffer.concat(given.map(({ command, data }) => encodeFrame(command, data)));
      const sink = new Collector();
      let turn = 0;
      const moody: FrameSink = {
        frame: (command, data) => sink.frame(command, data) && answers[turn++ % answers.length]!,
        body: (piece, last) => sink.body(piece, last) && answers[turn++ % answers.length]!,
      };
      const reader = new FrameReader(moody);
      let calls = 0;
      for (let at = 0; at < bytes.length; at += reader.push(bytes.subarray(at))) calls++;
      t.ok(calls <= given.length + 1, 'stops only after a frame');
      t.equal(sink.frames.length, given.length);
    }),
  );
});

t.test('a body is handed on as it arrives', async (t) => {
  const frame = encodeFrame(SMFIC_BODY, Buffer.alloc(60_000, 'x'));
  const sink = new Collector();
  const reader = new FrameReader(sink);
  reader.push(frame.subarray(0, 1000));
  t.strictSame(
    sink.pieces.map(({ length }) => length),
    [995],
    'before the frame is complete',
  );
  t.equal(reader.insideFrame, true);
  reader.push(frame.subarray(1000));
  t.equal(sink.frames[0]?.data.length, 60_000);
  t.equal(reader.insideFrame, false);
});

t.test('lengths', async (t) => {
  const cases: readonly (readonly [length: number, code: string | undefined, why: string])[] = [
    [0, 'frame_empty', 'a frame has at least its command byte'],
    [1, undefined, 'a command without data'],
    [MAX_FRAME_BYTES, undefined, 'the largest: a full body chunk of Postfix'],
    [MAX_FRAME_BYTES + 1, 'frame_too_large', 'one more'],
    [0xffff_ffff, 'frame_too_large', 'the largest number, never to be allocated'],
    [0x4745_5420, 'frame_too_large', 'an HTTP client: "GET "'],
  ];
  for (const [length, code, why] of cases) {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    const push = () => new FrameReader(new Collector()).push(head);
    if (code === undefined) t.equal(push(), 4, why);
    else t.throws(push, { name: 'MilterProtocolError', code }, why);
  }
});
