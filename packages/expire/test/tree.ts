/** Builds mailbox trees for the tests of this package, and looks at what is left of them. */

import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExpiryOptions, type ExpirySummary, runExpiry } from '../src/expiry.ts';
import type { ExpiryRules } from '../src/plan.ts';

export const DAY = 86_400_000;

export const RULES: ExpiryRules = {
  delete_mails_after: 20,
  delete_large_after: 7,
  delete_inactive_users_after: 90,
  max_mailbox_size: 1_000_000_000,
  expire_max_accounts_percent: 25,
};

/** Name of a delivered message as Dovecot writes it. */
export function messageName(ageDays: number, serial: number, bytes = 100, flags = ':2,S'): string {
  const second = Math.floor((Date.now() - ageDays * DAY) / 1000);
  return `${second}.M${serial}P1.mx,S=${bytes},W=${bytes}${flags}`;
}

export class Tree {
  readonly root: string;

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'expire-test-'));
  }

  /** Makes an account that logged in so many days ago; undefined: a directory without password file. */
  account(name: string, loginAgeDays: number | undefined): string {
    for (const kind of ['cur', 'new', 'tmp']) mkdirSync(join(this.root, name, kind), { recursive: true });
    if (loginAgeDays !== undefined) this.file(join(name, 'password'), loginAgeDays);
    return join(this.root, name);
  }

  /** Makes a file, and the directories above it, with an mtime so many days ago. */
  file(path: string, ageDays: number, contents = 'x'): void {
    const absolute = join(this.root, path);
    mkdirSync(join(absolute, '..'), { recursive: true });
    writeFileSync(absolute, contents);
    this.age(path, ageDays);
  }

  age(path: string, ageDays: number): void {
    const time = (Date.now() - ageDays * DAY) / 1000;
    utimesSync(join(this.root, path), time, time);
  }

  /** All paths below the root, sorted; directories end in a slash. Bytes as latin1. */
  paths(): string[] {
    const entries = readdirSync(this.root, { recursive: true, withFileTypes: true });
    return entries
      .map((entry) => join(entry.parentPath, entry.name).slice(this.root.length + 1) + (entry.isDirectory() ? '/' : ''))
      .sort();
  }

  /** Gives everything to another user, where that is possible. */
  giveTo(uid: number): void {
    if (process.geteuid?.() !== 0) return;
    for (const path of ['', ...this.paths()]) chownSync(join(this.root, path), uid, uid);
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

export interface RunResult {
  readonly summary: ExpirySummary;
  readonly removed: string[];
  readonly unsure: string[];
  readonly unknown: string[];
  readonly problems: string[];
  readonly forgotten: string[];
}

/** Runs the expiry on a tree and collects what it told. */
export async function expire(root: string, options: Partial<ExpiryOptions> = {}): Promise<RunResult> {
  const removed: string[] = [];
  const unsure: string[] = [];
  const unknown: string[] = [];
  const problems: string[] = [];
  const forgotten: string[] = [];
  const relative = (path: string) => path.slice(root.length + 1);
  const summary = await runExpiry({
    mailboxesDir: root,
    rules: RULES,
    clock: { nowMs: Date.now(), realNowMs: Date.now() },
    isDryRun: false,
    isVerbose: true,
    maxMailboxes: Number.POSITIVE_INFINITY,
    forget: async (addresses) => void forgotten.push(...addresses),
    events: {
      onRemoval: (path, reason) => removed.push(`${relative(path)} ${reason}`),
      onUnsure: (path) => unsure.push(relative(path)),
      onUnknown: (path) => unknown.push(relative(path)),
      onProblem: ({ path, code }) => problems.push(`${relative(path)} ${code}`),
      onProgress: () => {},
    },
    ...options,
  });
  for (const list of [removed, unsure, unknown, problems]) list.sort();
  return { summary, removed, unsure, unknown, problems, forgotten };
}
