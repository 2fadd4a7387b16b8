/**
 * Frames of the milter protocol: uint32 BE length, one command byte, data. A push parser from chunks of any size to frames,
 * and the encoder. Source: milter-protocol.txt "Packets"; libmilter comm.c mi_rd_cmd.
 * Data of SMFIC_BODY is handed on as it arrives and never collected; every other frame is handed on whole.
 */

import { MilterProtocolError } from './errors.ts';
import { MAX_FRAME_BYTES, SMFIC_BODY } from './protocol.ts';

const LENGTH_BYTES = 4;
/** Length field and command byte. */
const HEAD_BYTES = 5;
const NO_DATA = Buffer.alloc(0);

/** Takes what {@link FrameReader} reads. Either method returns false to have the reader stop right after it. */
export interface FrameSink {
  /** A whole frame. `data` is a view, valid only during the call. */
  frame(command: number, data: Buffer): boolean;
  /** Some data of an SMFIC_BODY frame, in order; `last` ends the frame (and may come with no data). A view, as above. */
  body(piece: Buffer, last: boolean): boolean;
}

/**
 * Reads frames from chunks of any size. It holds at most one incomplete frame (MAX_FRAME_BYTES), and nothing of a body.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #head = Buffer.alloc(HEAD_BYTES);
  /** Bytes of the head read so far; HEAD_BYTES while inside the data. */
  #headFill = 0;
  #command = 0;
  /** Data bytes of this frame not read yet. */
  #missing = 0;
  /** Data collected of a frame that spans chunks. */
  #data: Buffer = NO_DATA;
  #dataFill = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Whether a frame has begun and not ended: more bytes must follow. */
  get insideFrame(): boolean {
    return this.#headFill > 0;
  }

  /**
   * Reads `chunk`, until its end or until the sink says stop.
   *
   * @returns bytes read; the caller offers the rest again when the sink is ready
   * @throws {MilterProtocolError} `frame_empty`, `frame_too_large`, and what the sink throws; the reader is then of no more use
   */
  push(chunk: Buffer): number {
    let at = 0;
    let go = true;
    while (go && at < chunk.length) {
      if (this.#headFill < HEAD_BYTES) {
        at = this.#readHead(chunk, at);
        if (this.#headFill < HEAD_BYTES) break;
        if (this.#missing === 0) go = this.#end(NO_DATA);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#missing);
      const part = chunk.subarray(at, end);
      this.#missing -= part.length;
      at = end;
      go = this.#readData(part);
    }
    return at;
  }

  #readHead(chunk: Buffer, start: number): number {
    let at = start;
    while (this.#headFill < HEAD_BYTES && at < chunk.length) {
      this.#head[this.#headFill++] = chunk[at++]!;
      // Judged before the command byte is awaited: an empty frame has none.
      if (this.#headFill === LENGTH_BYTES) checkLength(this.#head.readUInt32BE(0));
    }
    if (this.#headFill === HEAD_BYTES) {
      this.#missing = this.#head.readUInt32BE(0) - 1;
      this.#command = this.#head[LENGTH_BYTES]!;
    }
    return at;
  }

  #readData(part: Buffer): boolean {
    if (this.#command === SMFIC_BODY) return this.#missing === 0 ? this.#end(part) : this.#sink.body(part, false);
    if (this.#dataFill === 0) {
      if (this.#missing === 0) return this.#end(part);
      this.#data = Buffer.allocUnsafeSlow(part.length + this.#missing);
    }
    this.#dataFill += part.copy(this.#data, this.#dataFill);
    return this.#missing > 0 || this.#end(this.#data);
  }

  #end(data: Buffer): boolean {
    this.#headFill = 0;
    this.#data = NO_DATA;
    this.#dataFill = 0;
    return this.#command === SMFIC_BODY ? this.#sink.body(data, true) : this.#sink.frame(this.#command, data);
  }
}

function checkLength(length: number): void {
  if (length === 0) throw new MilterProtocolError('frame_empty', 'a frame without a command byte');
  if (length > MAX_FRAME_BYTES) throw new MilterProtocolError('frame_too_large', `a frame of ${length} bytes`);
}

/**
 * Encodes one frame. The caller keeps `data` within MAX_FRAME_BYTES - 1.
 */
export function encodeFrame(command: number, data: Uint8Array = NO_DATA): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + data.length);
  frame.writeUInt32BE(1 + data.length, 0);
  frame[LENGTH_BYTES] = command;
  frame.set(data, HEAD_BYTES);
  return frame;
}
