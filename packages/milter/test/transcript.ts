/**
 * Recorded milter dialogues: reading and writing their files, and replaying one against a session.
 *
 * Line 1 names the peer and its version, line 2 the scenario (scenarios.ts). Then one frame per line: `>` from the MTA, `<`
 * from us, the command or reply byte, its data. Escapes in data: `\0` NUL, `\r`, `\n`, `\t`, `\\`, `\xHH` any other
 * byte outside printable ASCII, `\{N*C}` the printable character C N times. `# ` begins a comment.
 */

import { FrameReader } from '../src/frame.ts';
import type { SessionOptions } from '../src/options.ts';
import { MilterSession } from '../src/session.ts';

export interface TranscriptFrame {
  readonly direction: '>' | '<';
  readonly command: number;
  readonly data: Buffer;
}

export interface Transcript {
  readonly peer: string;
  readonly scenario: string;
  readonly frames: readonly TranscriptFrame[];
}

const SHORT: Readonly<Record<string, string>> = { '\0': '\\0', '\r': '\\r', '\n': '\\n', '\t': '\\t', '\\': '\\\\' };
const LONG_RUN = /([!-[\]-z|~])\1{63,}/g;

export function formatTranscript({ peer, scenario, frames }: Transcript): string {
  const lines = frames.map(({ direction, command, data }) => {
    const text = data
      .toString('latin1')
      .replaceAll(/[\0-\x1f\\\x7f-\xff]/g, (c) => SHORT[c] ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
      .replaceAll(LONG_RUN, (run, c: string) => `\\{${run.length}*${c}}`);
    return `${direction} ${String.fromCharCode(command)} ${text}`.trimEnd();
  });
  return [`# peer: ${peer}`, `# scenario: ${scenario}`, ...lines, ''].join('\n');
}

export function parseTranscript(text: string): Transcript {
  const lines = text.split('\n').filter((line) => line !== '');
  const heading = (name: string) => lines.find((line) => line.startsWith(`# ${name}: `))?.slice(name.length + 4);
  const frames = lines
    .filter((line) => !line.startsWith('#'))
    .map((line): TranscriptFrame => {
      const [, direction, command, data = ''] = /^([<>]) (.)(?: (.*))?$/.exec(line) ?? [];
      if ((direction !== '<' && direction !== '>') || !command) throw new Error(`not a transcript line: ${line}`);
      return { direction, command: command.charCodeAt(0), data: decodeEscapes(data) };
    });
  return { peer: heading('peer') ?? '', scenario: heading('scenario') ?? '', frames };
}

function decodeEscapes(text: string): Buffer {
  const bytes = text.replaceAll(/\\(?:x(..)|\{(\d+)\*(.)\}|(.))/g, (_, hex, count, char, short) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    if (count !== undefined) return char.repeat(Number(count));
    return Object.entries(SHORT).find(([, escaped]) => escaped === `\\${short}`)![0];
  });
  return Buffer.from(bytes, 'latin1');
}

export function frameBytes({ command, data }: { command: number; data: Uint8Array }): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length + 1);
  head[4] = command;
  return Buffer.concat([head, data]);
}

/** A session with its frame reader and no socket; takes any chunks, waits for asynchronous handlers. */
export class SessionDriver {
  readonly session: MilterSession;
  readonly sent: Buffer[] = [];
  ended = false;
  readonly #reader: FrameReader;
  #input = Buffer.alloc(0);

  constructor(options: SessionOptions) {
    this.session = new MilterSession(options, {
      send: (bytes) => this.sent.push(bytes),
      resume: () => this.#pump(),
      end: () => {
        this.ended = true;
      },
    });
    this.#reader = new FrameReader(this.session);
  }

  /** @throws what the session throws, unless input had to wait for an asynchronous handler */
  push(bytes: Buffer): void {
    this.#input = Buffer.concat([this.#input, bytes]);
    this.#pump();
  }

  /** Bytes sent so far. */
  output(): Buffer {
    return Buffer.concat(this.sent);
  }

  /** Lets asynchronous handlers finish. */
  async settled(): Promise<void> {
    do await this.settledOnce();
    while (this.session.pending);
  }

  /** Lets promises that have settled have their effect. */
  async settledOnce(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  #pump(): void {
    if (this.session.pending || this.ended) return;
    const taken = this.#reader.push(this.#input);
    this.#input = this.#input.subarray(taken);
  }
}
