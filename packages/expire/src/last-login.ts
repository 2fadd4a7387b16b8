/**
 * [io] When the owner of a mailbox last logged in. doveauth writes it as the mtime of the password file.
 */

import { lstatSync } from 'node:fs';
import { PASSWORD_FILE } from '#core';
import { type BytePath, toSystemPath } from './byte-path.ts';
import { errorCode, type ReportProblem } from './directory.ts';
import type { LastLogin } from './plan.ts';

/** When the owner of a mailbox last logged in: the mtime of the password file. */
export function readLastLogin(mailbox: BytePath, report: ReportProblem): LastLogin {
  const path = `${mailbox}/${PASSWORD_FILE}`;
  try {
    const stats = lstatSync(toSystemPath(path), { throwIfNoEntry: false });
    if (!stats) return { kind: 'none' };
    return stats.isFile() ? { kind: 'known', atMs: stats.mtimeMs } : { kind: 'unreadable' };
  } catch (error) {
    const code = errorCode(error);
    // The mailbox itself vanished or is no directory: nothing here to decide about.
    if (code === 'ENOTDIR') return { kind: 'unreadable' };
    report({ path, code });
    return { kind: 'unreadable' };
  }
}
