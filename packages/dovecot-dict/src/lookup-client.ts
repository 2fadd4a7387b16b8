/**
 * [io] A client for look-ups alone: what a small program needs that asks one of our daemons instead of Dovecot.
 * Source: dovecot 2.3.19 src/lib-dict/dict-client.c. Stricter than Dovecot: a reply outside the reply table is an error.
 * Omits everything else a client can do; `testing.ts` has the rest.
 */
import { connect } from 'node:net';
import { encodeCommand } from './command.ts';
import { LineReader } from './line.ts';
import { tabUnescape } from './tabescape.ts';

export type ClientLookupReply =
  | { kind: 'found'; values: Buffer[] }
  | { kind: 'notFound' }
  | { kind: 'failed'; text: string };

/** A key, and whom the look-up is made for: Dovecot names the user of the session. */
export interface LookupQuestion {
  readonly key: Buffer;
  readonly user?: Buffer;
}

/** Longest reply line accepted, bytes. */
const MAX_LINE_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * Asks over one connection, in order, and closes it.
 *
 * @throws Error when the socket cannot be reached, or does not answer all of them properly within `timeoutMs`
 */
export function lookUp(
  path: string,
  questions: readonly LookupQuestion[],
  timeoutMs: number,
): Promise<ClientLookupReply[]> {
  return new Promise((resolve, reject) => {
    const replies: ClientLookupReply[] = [];
    const lines = new LineReader(MAX_LINE_BYTES);
    const socket = connect(path);
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error('no answer in time')), timeoutMs);
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('the server closed the connection')));
    socket.on('data', (chunk: Buffer) => {
      try {
        lines.push(chunk);
        for (let line = lines.next(); line !== undefined; line = lines.next()) replies.push(decodeLookupReply(line));
      } catch (error) {
        fail(error as Error);
      }
      if (replies.length < questions.length) return;
      clearTimeout(timer);
      socket.destroy();
      resolve(replies);
    });
    const hello = { type: 'hello', version: 3, minor: 2, valueType: 0, user: NOTHING, dictName: NOTHING } as const;
    const commands = [hello, ...questions.map(({ key, user = NOTHING }) => ({ type: 'lookup', key, user }) as const)];
    socket.write(Buffer.concat(commands.map((command) => encodeCommand(command, 3))));
  });
}

/** @throws Error for anything a lookup must not be answered with */
export function decodeLookupReply(line: Buffer): ClientLookupReply {
  const fields = splitLine(line);
  const rest = fields[0]!.subarray(1);
  if (fields.length === 1) {
    switch (String.fromCharCode(line[0] ?? 0)) {
      case 'O':
        return { kind: 'found', values: [rest] };
      case 'M':
        return { kind: 'found', values: splitLine(rest) };
      case 'N':
        if (rest.length === 0) return { kind: 'notFound' };
        break;
      case 'F':
        return { kind: 'failed', text: rest.toString() };
    }
  }
  throw new Error('broken lookup reply');
}

/** The TAB-separated fields of a line, unescaped. */
export function splitLine(line: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  let start = 0;
  for (;;) {
    const tab = line.indexOf(0x09, start);
    if (tab === -1) return [...fields, tabUnescape(line.subarray(start))];
    fields.push(tabUnescape(line.subarray(start, tab)));
    start = tab + 1;
  }
}
