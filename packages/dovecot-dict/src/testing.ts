/**
 * [io] A dict client for tests and benchmarks, versions 3 and 4: `#dovecot-dict/testing`. Never in production.
 * Source: dovecot 2.3.19 src/lib-dict/dict-client.c. Stricter than Dovecot: a reply outside the reply table is an error.
 * Replies are matched to commands by order. Omits reconnecting and the repeated lookups of the real client.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { type Command, DICT_ITERATE_FLAG_RECURSE, type DictVersion, encodeCommand } from './command.ts';
import { LineReader } from './line.ts';
import { type ClientLookupReply, decodeLookupReply, splitLine } from './lookup-client.ts';

export { type ClientLookupReply, decodeLookupReply } from './lookup-client.ts';

export interface DictClientOptions {
  readonly version?: DictVersion;
  readonly dictName?: string;
}

export type ClientCommitReply = { kind: 'committed' | 'notFound' } | { kind: 'failed' | 'uncertain'; text: string };
export type ClientRow = { key: Buffer; values: Buffer[] };
export type ClientRows = { kind: 'rows'; rows: ClientRow[] } | { kind: 'failed'; text: string; rows: ClientRow[] };

/** Longest reply line accepted, bytes. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** Gets every line until it returns true. */
interface Waiter {
  take(line: Buffer): boolean;
  fail(error: Error): void;
}

type Text = Buffer | string;
const toBuffer = (text: Text) => (typeof text === 'string' ? Buffer.from(text) : text);

export class DictClient {
  readonly version: DictVersion;
  readonly socket: Socket;
  readonly #lines = new LineReader(MAX_LINE_BYTES);
  readonly #waiters: Waiter[] = [];
  #lastId = 0;
  #error: Error | undefined;

  private constructor(socket: Socket, version: DictVersion) {
    this.socket = socket;
    this.version = version;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** Connects to a path or to `{ host, port }` and sends the handshake. */
  static async connect(where: string | NetConnectOpts, options: DictClientOptions = {}): Promise<DictClient> {
    const { version = 3, dictName = 'test' } = options;
    const socket = typeof where === 'string' ? connect(where) : connect(where);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new DictClient(socket, version);
    const empty = Buffer.alloc(0);
    client.send({
      type: 'hello',
      version,
      minor: version === 3 ? 2 : 0,
      valueType: 0,
      user: empty,
      dictName: toBuffer(dictName),
    });
    return client;
  }

  send(command: Command): void {
    this.socket.write(encodeCommand(command, this.version));
  }

  /** Sends bytes as they are; pair it with `readLine` for replies. */
  sendRaw(bytes: Text): void {
    this.socket.write(toBuffer(bytes));
  }

  /** Resolves with the next reply line, undecoded and without its LF. */
  readLine(): Promise<Buffer> {
    return this.#await((line, resolve) => {
      resolve(line);
      return true;
    });
  }

  lookup(key: Text, user: Text = ''): Promise<ClientLookupReply> {
    this.send({ type: 'lookup', key: toBuffer(key), user: toBuffer(user) });
    return this.#await((line, resolve) => {
      resolve(decodeLookupReply(line));
      return true;
    });
  }

  iterate(path: Text, { flags = DICT_ITERATE_FLAG_RECURSE, maxRows = 0, user = '' as Text } = {}): Promise<ClientRows> {
    this.send({ type: 'iterate', flags, maxRows, path: toBuffer(path), user: toBuffer(user) });
    const rows: ClientRow[] = [];
    return this.#await((line, resolve) => {
      const [first, ...values] = splitLine(line);
      if (first!.length === 0) {
        resolve({ kind: 'rows', rows });
        return true;
      }
      if (first![0] === 0x46) {
        resolve({ kind: 'failed', text: first!.toString('utf8', 1), rows });
        return true;
      }
      if (first![0] !== 0x4f || values.length === 0) throw new Error('broken iterate reply');
      rows.push({ key: first!.subarray(1), values });
      return false;
    });
  }

  begin(user: Text = '', expireSecs = 0): ClientTransaction {
    const id = ++this.#lastId;
    this.send({ type: 'begin', id, user: toBuffer(user), expireSecs });
    return new ClientTransaction(this, id);
  }

  commit(id: number): Promise<ClientCommitReply> {
    this.send({ type: 'commit', id });
    return this.#await((line, resolve) => {
      resolve(decodeCommitReply(line));
      return true;
    });
  }

  /** Resolves once the connection is gone, whoever closed it. */
  closed(): Promise<void> {
    if (this.socket.closed) return Promise.resolve();
    return new Promise((resolve) => this.socket.once('close', () => resolve()));
  }

  close(): Promise<void> {
    this.socket.destroy();
    return this.closed();
  }

  #await<T>(take: (line: Buffer, resolve: (value: T) => void) => boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) reject(this.#error);
      else this.#waiters.push({ take: (line) => take(line, resolve), fail: reject });
    });
  }

  #receive(chunk: Buffer): void {
    this.#lines.push(chunk);
    try {
      for (let line = this.#lines.next(); line !== undefined; line = this.#lines.next()) {
        const waiter = this.#waiters[0];
        // Dovecot drops the connection too: "Received reply without pending commands".
        if (waiter === undefined) throw new Error('a reply without a command');
        if (waiter.take(line)) this.#waiters.shift();
      }
    } catch (error) {
      this.#fail(error as Error);
      this.socket.destroy();
    }
  }

  #fail(error: Error): void {
    this.#error ??= error;
    for (const waiter of this.#waiters.splice(0)) waiter.fail(this.#error);
  }
}

/** A dict transaction of one client. Nothing happens before `commit`, which resolves with the reply. */
export class ClientTransaction {
  readonly id: number;
  readonly #client: DictClient;

  constructor(client: DictClient, id: number) {
    this.#client = client;
    this.id = id;
  }

  set(key: Text, value: Text): this {
    this.#client.send({ type: 'set', id: this.id, key: toBuffer(key), value: toBuffer(value) });
    return this;
  }

  unset(key: Text): this {
    this.#client.send({ type: 'unset', id: this.id, key: toBuffer(key) });
    return this;
  }

  increment(key: Text, diff: bigint): this {
    this.#client.send({ type: 'increment', id: this.id, key: toBuffer(key), diff });
    return this;
  }

  commit(): Promise<ClientCommitReply> {
    return this.#client.commit(this.id);
  }

  rollback(): void {
    this.#client.send({ type: 'rollback', id: this.id });
  }
}

/** @throws Error for anything a commit must not be answered with */
export function decodeCommitReply(line: Buffer): ClientCommitReply {
  const [first, ...others] = splitLine(line);
  const text = others[0]?.toString() ?? '';
  if (/^[0-9]*$/.test(first!.toString('latin1', 1)) && others.length <= 1) {
    switch (String.fromCharCode(line[0] ?? 0)) {
      case 'O':
        if (others.length === 0) return { kind: 'committed' };
        break;
      case 'N':
        if (others.length === 0) return { kind: 'notFound' };
        break;
      case 'F':
        return { kind: 'failed', text };
      case 'W':
        return { kind: 'uncertain', text };
    }
  }
  throw new Error('broken commit reply');
}
