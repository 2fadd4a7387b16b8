/**
 * What one connection may cost. Dovecot's own clients send some KiB in a transaction of a few operations and have one or
 * two open; only values that users choose (METADATA) are larger. All limits are options; the defaults fit with room to
 * spare. Omits limits in time and in connections, which are the server's.
 */

export interface TransactionLimits {
  /** Open transactions of one connection. */
  readonly maxTransactions: number;
  /** Operations of one transaction. */
  readonly maxOperations: number;
  /** Bytes of one value. */
  readonly maxValueBytes: number;
  /** Bytes of all open transactions of one connection: keys, values and `OPERATION_OVERHEAD_BYTES` for each operation. */
  readonly maxTransactionBytes: number;
}

export interface SessionLimits extends TransactionLimits {
  /** Bytes of one line. Dovecot 2.3 has been seen to send a METADATA value of 300,000 bytes in one. */
  readonly maxLineBytes: number;
}

export const DEFAULT_LIMITS: SessionLimits = {
  maxLineBytes: 1024 * 1024,
  maxValueBytes: 64 * 1024,
  maxTransactions: 64,
  maxOperations: 1000,
  maxTransactionBytes: 1024 * 1024,
};
