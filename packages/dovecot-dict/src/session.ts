/**
 * One connection without its socket: handshake, transactions, and replies strictly in order of arrival.
 * Source: dovecot 2.3.19 src/lib-dict/dict-client.c, what the client accepts and when it gives up.
 * Commands run one at a time. An answer that comes by a promise stops the parsing until it is there, so order, memory and
 * read-your-writes need no queue. Unknown commands are ignored and never answered. Omits time: see deadline.ts, server.ts.
 */
import {
  type Command,
  type CommitCommand,
  DICT_ITERATE_FLAG_NO_VALUE,
  type DictVersion,
  decodeCommand,
  type IterateCommand,
} from './command.ts';
import { DictHandlerError, DictProtocolError } from './errors.ts';
import type { AnsweredCommand, DictHandler, DictPeer, HandlerErrorReply } from './handler.ts';
import { encodeHandlerError } from './handler-error.ts';
import { DEFAULT_LIMITS, type SessionLimits } from './limits.ts';
import { LineReader } from './line.ts';
import {
  type CommitReply,
  type DictRow,
  encodeCommitReply,
  encodeIterationEnd,
  encodeIterationFailure,
  encodeLookupReply,
  encodeRow,
  failed,
  type LookupReply,
  toBuffer,
} from './reply.ts';
import { TransactionTable } from './transactions.ts';

/** Where replies go. */
export interface DictSink {
  /** Takes bytes; false means that enough are under way and the session shall wait for `ready`. */
  write(bytes: Buffer): boolean;
  /** Resolves, always and never in the same turn of the event loop, when more can be written or the peer is gone. */
  ready(): Promise<void>;
}

export interface SessionOptions {
  readonly limits?: Partial<SessionLimits>;
  readonly onHandlerError?: HandlerErrorReply;
  /** A command letter that is not in the protocol version; it has been ignored. */
  readonly onUnknownCommand?: (letter: string) => void;
}

/** Reply bytes collected before they are handed to the sink: one write for many pipelined replies or rows. */
const FLUSH_BYTES = 16 * 1024;

/** Commands run in one go, so that a peer with 64 KiB of `L` lines does not hold up the event loop. */
const COMMANDS_PER_TURN = 128;

export class DictSession {
  readonly #handler: DictHandler;
  readonly #sink: DictSink;
  readonly #options: SessionOptions;
  readonly #lines: LineReader;
  readonly #transactions: TransactionTable;
  #peer: DictPeer | undefined;
  #running: Promise<void> | undefined;
  #ended = false;
  #replies: Buffer[] = [];
  #replyBytes = 0;

  constructor(handler: DictHandler, sink: DictSink, options: SessionOptions = {}) {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#handler = handler;
    this.#sink = sink;
    this.#options = options;
    this.#lines = new LineReader(limits.maxLineBytes);
    this.#transactions = new TransactionTable(limits);
  }

  /** True when the client can be left without breaking anything: greeted, no half line, no transaction, no answer due. */
  get idle(): boolean {
    return (
      this.#running === undefined && this.#peer !== undefined && this.#lines.atBoundary && this.#transactions.size === 0
    );
  }

  /**
   * Takes bytes as they arrive. Returns undefined when all complete lines have been answered, else a promise for that;
   * the caller then reads no more until it settles. Replies to the lines before an error have been written.
   * @throws DictProtocolError thrown or as rejection; the connection must be closed, `end` has been done.
   */
  receive(chunk: Buffer): Promise<void> | undefined {
    if (this.#ended) return undefined;
    this.#lines.push(chunk);
    if (this.#running !== undefined) return this.#running;
    const wait = this.#run();
    if (wait === undefined) return undefined;
    this.#running = this.#continue(wait).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** The peer is gone: open transactions are rolled back, an iteration stops at its next row, nothing more is written. */
  end(): void {
    this.#ended = true;
    this.#transactions.clear();
  }

  async #continue(wait: Promise<void>): Promise<void> {
    for (let next: Promise<void> | undefined = wait; next !== undefined; next = this.#run()) await next;
  }

  /** Runs lines until there are none. A promise: run again when it resolves, an answer or the sink has to be waited for. */
  #run(): Promise<void> | undefined {
    try {
      if (!this.#flush()) return this.#sink.ready();
      for (let count = 1; !this.#ended; count++) {
        const line = this.#lines.next();
        if (line === undefined) break;
        const answer = this.#execute(line);
        if (answer !== undefined) {
          this.#flush();
          return answer;
        }
        if (count === COMMANDS_PER_TURN || this.#replyBytes >= FLUSH_BYTES) {
          this.#flush();
          return this.#sink.ready();
        }
      }
      return this.#flush() ? undefined : this.#sink.ready();
    } catch (error) {
      this.#flush();
      this.end();
      throw error;
    }
  }

  #execute(line: Buffer): Promise<void> | undefined {
    const peer = this.#peer;
    if (peer === undefined) {
      this.#peer = greet(line);
      return undefined;
    }
    const command = decodeCommand(line, peer.version);
    switch (command.type) {
      case 'lookup':
        return this.#answer(
          command,
          () => (this.#handler.lookup ?? notSupported)(command, peer),
          (reply: LookupReply) => encodeLookupReply(reply),
        );
      case 'commit':
        return this.#commit(command, peer);
      case 'iterate':
        return this.#iterate(command, peer);
      default:
        this.#note(command);
        return undefined;
    }
  }

  /** The commands without a reply. */
  #note(command: Exclude<Command, AnsweredCommand>): void {
    switch (command.type) {
      case 'begin':
        this.#transactions.begin(command);
        break;
      case 'set':
      case 'unset':
      case 'increment':
        this.#transactions.add(command);
        break;
      case 'timestamp':
        this.#transactions.setTimestamp(command.id, command.secs, command.nanos);
        break;
      case 'hideLogValues':
        this.#transactions.setHideLogValues(command.id, command.hide);
        break;
      case 'rollback':
        this.#transactions.take(command.id);
        break;
      case 'hello':
        throw new DictProtocolError('no-hello', 'a second handshake');
      case 'unknown':
        this.#options.onUnknownCommand?.(command.letter);
        break;
    }
  }

  #commit(command: CommitCommand, peer: DictPeer): Promise<void> | undefined {
    const transaction = this.#transactions.take(command.id);
    if (typeof transaction === 'string') {
      this.#reply(encodeCommitReply(failed(transaction), command.id));
      return undefined;
    }
    return this.#answer(
      command,
      () => (this.#handler.commit ?? notSupported)(transaction, peer),
      (reply: CommitReply) => encodeCommitReply(reply, command.id),
    );
  }

  /** Asks the handler and queues its reply; returns a promise only if the handler did. */
  #answer<R>(
    command: AnsweredCommand,
    ask: () => R | Promise<R>,
    encode: (reply: R) => Buffer,
  ): Promise<void> | undefined {
    const settle = (reply: R) => {
      let line: Buffer;
      try {
        line = encode(reply);
      } catch (cause) {
        line = this.#failure(
          new DictHandlerError('bad-reply', 'the reply does not fit the command', { cause }),
          command,
        );
      }
      this.#reply(line);
    };
    const fail = (error: unknown) => this.#reply(this.#failure(error, command));
    try {
      const reply = ask();
      if (reply instanceof Promise) return reply.then(settle, fail);
      settle(reply);
    } catch (error) {
      fail(error);
    }
    return undefined;
  }

  /** Ends in a terminator whatever happens: the client would wait 60 s for a missing one. */
  async #iterate(command: IterateCommand, peer: DictPeer): Promise<void> {
    const withoutValues = (command.flags & DICT_ITERATE_FLAG_NO_VALUE) !== 0;
    let rest = command.maxRows === 0 ? Number.POSITIVE_INFINITY : command.maxRows;
    try {
      const rows = await (this.#handler.iterate ?? notSupported)(command, peer);
      if ('kind' in rows) {
        this.#reply(encodeIterationFailure(rows));
        return;
      }
      for await (const row of rows) {
        if (this.#ended) return;
        this.#reply(encodeRow(checkRow(row, command.path), withoutValues));
        if (this.#replyBytes >= FLUSH_BYTES) {
          this.#flush();
          await this.#sink.ready();
        }
        if (--rest === 0) break;
      }
      this.#reply(encodeIterationEnd());
    } catch (error) {
      this.#reply(this.#failure(error, command));
    }
  }

  #failure(error: unknown, command: AnsweredCommand): Buffer {
    return encodeHandlerError(error, command, this.#options.onHandlerError);
  }

  #reply(line: Buffer): void {
    if (this.#ended) return;
    this.#replies.push(line);
    this.#replyBytes += line.length;
  }

  #flush(): boolean {
    const replies = this.#replies;
    if (replies.length === 0 || this.#ended) return true;
    this.#replies = [];
    this.#replyBytes = 0;
    return this.#sink.write(replies.length === 1 ? replies[0]! : Buffer.concat(replies));
  }
}

/** The first line. The version only decides how later lines are read, so any decodes this one. */
function greet(line: Buffer): DictPeer {
  const hello = decodeCommand(line, 3);
  if (hello.type !== 'hello') throw new DictProtocolError('no-hello', 'the first line is not a handshake');
  if (hello.version !== 3 && hello.version !== 4) {
    throw new DictProtocolError('unsupported-version', `protocol version ${hello.version} is not 3 or 4`);
  }
  return { version: hello.version satisfies DictVersion, dictName: hello.dictName.toString('utf8') };
}

function checkRow(row: DictRow, path: Buffer): DictRow {
  const key = toBuffer(row.key);
  if (key.length === 0 || !key.subarray(0, path.length).equals(path)) {
    throw new DictHandlerError('bad-row', 'a row has a key outside the path of the iteration');
  }
  return row;
}

function notSupported(): never {
  throw new DictHandlerError('not-supported', 'the handler has no function for this command');
}
