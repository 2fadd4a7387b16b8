/**
 * The open transactions of one connection, bounded in number, operations and bytes.
 * Source: dovecot 2.3.19 src/lib-dict-backend/dict-server (begin, set, unset, atomic_inc, timestamp, rollback, commit).
 * Ids belong to the connection: every client process counts from 1. Operations are only collected here; the handler gets
 * the whole list at commit. A transaction over a limit stays open without its operations and fails at commit, because
 * closing the connection would also fail the client's other commands.
 */
import type { BeginCommand, IncrementCommand, SetCommand, UnsetCommand } from './command.ts';
import { DictProtocolError } from './errors.ts';
import type { DictOperation, DictTransaction } from './handler.ts';
import type { TransactionLimits } from './limits.ts';

/** What an operation costs beyond its key and value, bytes: objects and buffer headers, so empty ones are not free. */
export const OPERATION_OVERHEAD_BYTES = 256;

/** Which limit a transaction broke. The text is the error the client gets at commit. */
export type Overflow = 'too many operations' | 'value too large' | 'transaction too large';

interface OpenTransaction {
  readonly user: Buffer;
  readonly expireSecs: number;
  operations: DictOperation[];
  bytes: number;
  timestamp?: { secs: number; nanos: number };
  hideLogValues: boolean;
  overflow?: Overflow;
}

export class TransactionTable {
  readonly #limits: TransactionLimits;
  readonly #open = new Map<number, OpenTransaction>();
  #bytes = 0;

  constructor(limits: TransactionLimits) {
    this.#limits = limits;
  }

  /** Open transactions. */
  get size(): number {
    return this.#open.size;
  }

  /** @throws DictProtocolError `duplicate-transaction`, `too-many-transactions` */
  begin(command: BeginCommand): void {
    if (this.#open.has(command.id)) {
      throw new DictProtocolError('duplicate-transaction', `transaction ${command.id} is already open`);
    }
    if (this.#open.size >= this.#limits.maxTransactions) {
      throw new DictProtocolError('too-many-transactions', `more than ${this.#limits.maxTransactions} transactions`);
    }
    const transaction: OpenTransaction = {
      user: compactCopy(command.user),
      expireSecs: command.expireSecs,
      operations: [],
      bytes: 0,
      hideLogValues: false,
    };
    this.#open.set(command.id, transaction);
    this.#charge(transaction, command.user.length);
  }

  /** @throws DictProtocolError `unknown-transaction` */
  add(command: SetCommand | UnsetCommand | IncrementCommand): void {
    const transaction = this.#find(command.id);
    if (transaction.overflow !== undefined) return;
    if (transaction.operations.length >= this.#limits.maxOperations) {
      this.#overflow(transaction, 'too many operations');
      return;
    }
    const valueBytes = command.type === 'set' ? command.value.length : 0;
    if (valueBytes > this.#limits.maxValueBytes) {
      this.#overflow(transaction, 'value too large');
      return;
    }
    if (!this.#charge(transaction, command.key.length + valueBytes + OPERATION_OVERHEAD_BYTES)) return;
    transaction.operations.push(toOperation(command));
  }

  /** @throws DictProtocolError `unknown-transaction` */
  setTimestamp(id: number, secs: number, nanos: number): void {
    this.#find(id).timestamp = { secs, nanos };
  }

  /** @throws DictProtocolError `unknown-transaction` */
  setHideLogValues(id: number, hide: boolean): void {
    this.#find(id).hideLogValues = hide;
  }

  /**
   * Ends a transaction: its whole content, or the limit it broke.
   * @throws DictProtocolError `unknown-transaction`
   */
  take(id: number): DictTransaction | Overflow {
    const transaction = this.#find(id);
    this.#open.delete(id);
    this.#bytes -= transaction.bytes;
    const { user, operations, expireSecs, timestamp, hideLogValues, overflow } = transaction;
    if (overflow !== undefined) return overflow;
    return { user, operations, expireSecs, hideLogValues, ...(timestamp === undefined ? {} : { timestamp }) };
  }

  clear(): void {
    this.#open.clear();
    this.#bytes = 0;
  }

  #find(id: number): OpenTransaction {
    const transaction = this.#open.get(id);
    if (transaction === undefined) throw new DictProtocolError('unknown-transaction', `transaction ${id} is not open`);
    return transaction;
  }

  /** Returns false, and drops the transaction's content, when the connection's bytes are used up. */
  #charge(transaction: OpenTransaction, bytes: number): boolean {
    if (this.#bytes + bytes > this.#limits.maxTransactionBytes) {
      this.#overflow(transaction, 'transaction too large');
      return false;
    }
    transaction.bytes += bytes;
    this.#bytes += bytes;
    return true;
  }

  #overflow(transaction: OpenTransaction, overflow: Overflow): void {
    this.#bytes -= transaction.bytes;
    transaction.bytes = 0;
    transaction.operations = [];
    transaction.overflow = overflow;
  }
}

function toOperation(command: SetCommand | UnsetCommand | IncrementCommand): DictOperation {
  const key = compactCopy(command.key);
  switch (command.type) {
    case 'set':
      return { type: 'set', key, value: compactCopy(command.value) };
    case 'unset':
      return { type: 'unset', key };
    case 'increment':
      return { type: 'increment', key, diff: command.diff };
  }
}

/** A field is a view of a received chunk; ten bytes kept until the commit must not keep 64 KiB alive. */
function compactCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
