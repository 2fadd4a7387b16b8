/**
 * Accounts as lines of text. Pure.
 */

import type { Account } from './account-files.ts';

const UNITS = ['B', 'K', 'M', 'G', 'T'];

/** Bytes as a person reads them: `734`, `1.2M`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)}${UNITS[unit]}`;
}

/** A line of `account list`. */
export function formatAccount(account: Account, quotaBytes: number): string {
  const { address, lastLogin, messages, bytes, isBlocked } = account;
  const percent = quotaBytes === 0 ? 0 : Math.round((bytes / quotaBytes) * 100);
  const columns = [
    lastLogin,
    String(messages).padStart(6),
    formatBytes(bytes).padStart(6),
    `${percent}%`.padStart(4),
    isBlocked ? 'blocked' : 'active ',
    address,
  ];
  return columns.join('  ');
}

/** The heading above those lines. */
export const ACCOUNT_HEADING = 'LAST LOGIN  MAILS    SIZE   FULL  STATE    ADDRESS';
