/**
 * [io] One run of `chatmail-expire`: first it looks at all accounts and counts the unused ones, then it asks whether that many
 * may go, and only then removes anything. Mailboxes are worked on one after the other, so that memory does not grow with
 * their number; what was interrupted is finished by the next run.
 */

import { Buffer } from 'node:buffer';
import { parseAddress } from '#core';
import { emptySetAside, findSetAside, removeRunDirectories, removeSetAside, type SetAside, setAside } from './apply.ts';
import type { BytePath } from './byte-path.ts';
import { errorCode, type Problem, type ReportProblem } from './directory.ts';
import { expireShared } from './helper.ts';
import { readLastLogin } from './last-login.ts';
import { isOwnFile, judgeRemains } from './leftover.ts';
import { addTally, emptyTally, expireMailbox, type MailboxRest, type MessageTally } from './mailbox-expiry.ts';
import {
  type AccountVerdict,
  type ExpiryRules,
  judgeAccount,
  mayDeleteAccounts,
  type RemovalReason,
  type RunClock,
} from './plan.ts';
import { mailboxNames, readChangeTime } from './scan.ts';

/** Mailboxes set aside before they are forgotten together and taken apart: what is known of them is held meanwhile. */
const REMOVED_AT_ONCE = 1000;

/**
 * Makes every other keeper of state forget accounts that no longer exist. Called with addresses whose mailboxes are already
 * out of reach, possibly again after an interruption; when it rejects, the next run asks again.
 */
export type ForgetAccounts = (addresses: readonly string[]) => Promise<void>;

/** `begun`: an earlier run, or `chatmailctl account delete`, had set the mailbox aside and not finished. */
export type MailboxRemovalReason = 'unused' | 'leftover' | 'begun';

/** What a run tells while it works. Paths contain addresses: they are for `-v` only. */
export interface ExpiryEvents {
  onRemoval(path: BytePath, reason: RemovalReason | MailboxRemovalReason): void;
  onUnsure(path: BytePath): void;
  /** A directory without an account that stays because of something nobody here knows. */
  onUnknown(path: BytePath): void;
  onProblem(problem: Problem): void;
  onProgress(done: number, total: number): void;
}

export interface ExpiryOptions {
  readonly mailboxesDir: BytePath;
  readonly rules: ExpiryRules;
  readonly clock: RunClock;
  readonly isDryRun: boolean;
  /** Tell every path. One thread does all the work then: what another has to tell would be in memory first. */
  readonly isVerbose: boolean;
  /** Work on this many mailboxes at most. */
  readonly maxMailboxes: number;
  readonly forget: ForgetAccounts;
  readonly events: ExpiryEvents;
}

/** What a run did; in a dry run, what it would have done. The messages are those of the mailboxes that stay. */
export interface ExpirySummary extends MessageTally {
  /** Accounts there were at the start. */
  accounts: number;
  /** Accounts whose last login is too long ago. */
  accountsUnused: number;
  accountsRemoved: number;
  /** Accounts left alone because the date of their last login is unreadable or in the future. */
  accountsUnsure: number;
  /** Directories without an account or anything else of value that were removed. */
  leftoversRemoved: number;
  /** Such directories that stay because they hold something nobody here knows. */
  leftoversKept: number;
  /** Mailboxes that an earlier run, or `chatmailctl account delete`, had begun to remove, and that are gone now. */
  mailboxesFinished: number;
  /** Things that could not be read, removed or forgotten. */
  problems: number;
  /** True when so many accounts are unused that none of them may go, and nothing was touched. */
  isStopped: boolean;
}

interface Run extends ExpiryOptions {
  readonly summary: ExpirySummary;
  readonly report: ReportProblem;
  /** False once nobody could be told to forget: then nobody is asked again in this run. */
  canForget: boolean;
}

interface Survey {
  readonly unused: readonly BytePath[];
  readonly unsure: ReadonlySet<BytePath>;
  readonly withoutAccount: ReadonlySet<BytePath>;
  readonly mailboxes: number;
  /** Which mailboxes these were, when they are not simply all; then they are few. */
  readonly names: readonly BytePath[] | undefined;
}

/** Runs once over all mailboxes. Problems with single files do not end it; they are counted and told. */
export async function runExpiry(options: ExpiryOptions): Promise<ExpirySummary> {
  const summary = emptySummary();
  const report = (problem: Problem) => {
    summary.problems++;
    options.events.onProblem(problem);
  };
  const run: Run = { ...options, summary, report, canForget: true };
  summary.mailboxesFinished = await finishAll(run, findSetAside(run.mailboxesDir, report), 'begun');

  const survey = surveyAccounts(run);
  summary.isStopped = !mayDeleteAccounts(summary.accountsUnused, summary.accounts, run.rules);
  if (summary.isStopped && !run.isDryRun) return summary;

  summary.accountsRemoved = await removeMailboxes(run, survey.unused, 'unused');
  const leftovers = await expireMailboxes(run, survey);
  summary.leftoversRemoved = await removeMailboxes(run, leftovers, 'leftover');
  return summary;
}

function emptySummary(): ExpirySummary {
  return {
    accounts: 0,
    accountsUnused: 0,
    accountsRemoved: 0,
    accountsUnsure: 0,
    leftoversRemoved: 0,
    leftoversKept: 0,
    mailboxesFinished: 0,
    ...emptyTally(),
    problems: 0,
    isStopped: false,
  };
}

/** Judges all accounts, also those beyond `maxMailboxes`: the guard compares with their number. Removes nothing. */
function surveyAccounts(run: Run): Survey {
  const { summary, events } = run;
  const unused: BytePath[] = [];
  const unsure = new Set<BytePath>();
  const withoutAccount = new Set<BytePath>();
  const names: BytePath[] | undefined = Number.isFinite(run.maxMailboxes) ? [] : undefined;
  let mailboxes = 0;
  for (const name of mailboxNames(run.mailboxesDir)) {
    const verdict = judge(run, name);
    if (verdict !== 'leftover') summary.accounts++;
    if (mailboxes >= run.maxMailboxes) continue;
    mailboxes++;
    names?.push(name);
    if (verdict === 'unused') unused.push(name);
    else if (verdict === 'leftover') withoutAccount.add(name);
    else if (verdict === 'unsure') {
      unsure.add(name);
      events.onUnsure(`${run.mailboxesDir}/${name}`);
    }
  }
  summary.accountsUnused = unused.length;
  summary.accountsUnsure = unsure.size;
  return { unused, unsure, withoutAccount, mailboxes, names };
}

function judge(run: Run, name: BytePath): AccountVerdict {
  return judgeAccount(readLastLogin(`${run.mailboxesDir}/${name}`, run.report), run.rules, run.clock);
}

/** Removes whole mailboxes of one verdict, as long as it still holds; returns how many. */
async function removeMailboxes(run: Run, names: readonly BytePath[], verdict: 'unused' | 'leftover'): Promise<number> {
  const holds = (mailbox: BytePath) =>
    judgeAccount(readLastLogin(mailbox, run.report), run.rules, run.clock) === verdict;
  if (!run.isDryRun) return finishAll(run, setAside(run.mailboxesDir, names, holds, run.report), verdict);
  for (const name of names) run.events.onRemoval(`${run.mailboxesDir}/${name}`, verdict);
  return names.length;
}

/**
 * Forgets and takes apart mailboxes that are out of reach already; in a dry run only tells of them. Returns how many they
 * are; of those begun earlier, how many have come to their end.
 */
async function finishAll(run: Run, gone: Iterable<SetAside>, reason: MailboxRemovalReason): Promise<number> {
  let count = 0;
  let finished = 0;
  let portion: SetAside[] = [];
  for (const mailbox of gone) {
    count++;
    run.events.onRemoval(reason === 'begun' ? mailbox.path : `${run.mailboxesDir}/${mailbox.name}`, reason);
    if (run.isDryRun) continue;
    portion.push(mailbox);
    if (portion.length < REMOVED_AT_ONCE) continue;
    finished += await finish(run, portion);
    portion = [];
  }
  if (run.isDryRun) return count;
  finished += await finish(run, portion);
  removeRunDirectories(run.mailboxesDir, run.report);
  return reason === 'begun' ? finished : count;
}

async function finish(run: Run, gone: readonly SetAside[]): Promise<number> {
  const addresses = gone.flatMap(({ name }) => addressOf(name) ?? []);
  if (addresses.length > 0 && run.canForget) {
    await run.forget(addresses).catch(() => {
      run.canForget = false;
      run.report({ path: run.mailboxesDir, code: 'EFORGET' });
    });
  }
  // Mail goes in any case. The empty directories wait for the next run when their owners are still remembered somewhere.
  const emptied = gone.filter((mailbox) => emptySetAside(mailbox, run.report));
  if (!run.canForget) return 0;
  removeSetAside(emptied, run.report);
  return emptied.length;
}

function addressOf(name: BytePath): string | undefined {
  const text = Buffer.from(name, 'latin1').toString('utf8');
  // A directory whose name is no address, or is one in capitals, is nobody's account: its lower-case twin must not suffer.
  return parseAddress(text)?.text === text ? text : undefined;
}

/** Removes messages of all mailboxes that stay; returns the names of those that are no account and hold nothing any more. */
async function expireMailboxes(run: Run, survey: Survey): Promise<BytePath[]> {
  const { summary, events } = run;
  let done = 0;
  const expireHere = (mailbox: BytePath, onExtra?: (name: BytePath, isFile: boolean) => void): MailboxRest => {
    events.onProgress(done++, survey.mailboxes);
    return expireMailbox(mailbox, run, summary, {
      onRemoval: events.onRemoval,
      onProblem: run.report,
      ...(onExtra && { onExtra }),
    });
  };
  await expireShared(mailboxesToExpire(run, survey), run.isVerbose ? 0 : survey.mailboxes, run, {
    expireHere: (mailbox) => void expireHere(mailbox),
    onReport(report) {
      done += report.mailboxes;
      addTally(summary, report.tally);
      summary.problems += report.problems;
    },
    onHelperLost: (error) => run.report({ path: run.mailboxesDir, code: errorCode(error) }),
  });

  const leftovers: BytePath[] = [];
  for (const name of survey.withoutAccount) {
    const mailbox = `${run.mailboxesDir}/${name}`;
    const changedAtMs = readChangeTime(mailbox, run.report);
    let holdsUnknown = false;
    const rest = expireHere(mailbox, (file, isFile) => {
      if (!isFile || !isOwnFile(file)) holdsUnknown = true;
    });
    const verdict = judgeRemains({ ...rest, holdsUnknown, changedAtMs }, run.clock);
    if (verdict === 'leftover') leftovers.push(name);
    else if (verdict === 'unknown') {
      summary.leftoversKept++;
      events.onUnknown(mailbox);
    }
  }
  return leftovers;
}

/** Accounts that are to stay. Read from the directory anew, so that their number does not decide our memory. */
function* mailboxesToExpire(run: Run, survey: Survey): Generator<BytePath> {
  const unused = new Set(survey.unused);
  for (const name of survey.names ?? mailboxNames(run.mailboxesDir)) {
    if (unused.has(name) || survey.unsure.has(name) || survey.withoutAccount.has(name)) continue;
    yield `${run.mailboxesDir}/${name}`;
  }
}
