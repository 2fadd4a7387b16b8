/**
 * [io] `chatmailctl apply`: makes the machine what chatmail.ini says. Looks first and refuses what it must not touch; then backs up,
 * writes, lets each server check its files, restarts and reloads, and logs in as somebody new. Whatever fails on the way, the
 * machine is put back as it was.
 */

import { EXIT_BUG, EXIT_TEMPORARY, ExitError } from '#core';
import type { RenderedFile } from '../layout.ts';
import { rememberCertificate } from '../tls/renew.ts';
import { ensureCertificate, obtainCertificate } from '../tls/tls.ts';
import { testLogin } from './auth-test.ts';
import { type Backup, writeRecord } from './backup.ts';
import { unifiedDiff } from './diff.ts';
import { alone, clearPending } from './pending.ts';
import { type Change, isOurs, recordOf } from './plan.ts';
import { prepareServices, requireRunning, runServices } from './services.ts';
import { type ApplyInput, look, type Survey } from './survey.ts';
import { putBack } from './undo.ts';
import { DAEMONS, isServer, planServices, SERVERS } from './units.ts';
import { validate } from './validate.ts';
import { backUp, writeChanges } from './write.ts';

/**
 * Applies the rendered files to the machine.
 *
 * @throws ExitError 78 when it refuses, or when the machine does not work with them and was put back; 75 when a certificate cannot
 * be had at the moment, or another apply is at work
 */
export async function apply(input: ApplyInput): Promise<void> {
  if (input.dryRun) describe(input, await look(input));
  else await alone(input.host, async () => await change(input, await look(input)));
}

async function change(input: ApplyInput, survey: Survey): Promise<void> {
  const { host, print, note } = input;
  const { changes, record, enable, states, retire, rendered, isPending } = survey;
  const certificate = await ensureCertificate(input);
  const configChanged = hasChanged(record, input.configHash);
  if (changes.length + enable.length + retire.length === 0 && !configChanged && !certificate.isNew && !isPending) {
    if (!record) await writeRecord(host, recordOf(rendered, input.configHash));
    print('Nothing to change.');
    return;
  }
  for (const change of changes) print(summary(change));
  for (const { name } of retire) print(`stop     ${name}`);
  for (const change of changes.filter(({ before }) => before && isOurs(before.text))) print(diffOf(change));

  const backup = await backUp(input, survey);
  let told: readonly string[] = [];
  try {
    await writeChanges(input, survey, backup);
    const servers = states.map(({ name }) => name).filter(isServer);
    // After a run that was killed nobody knows who has read what: all files count as new.
    const concerned = isPending ? [...changes, ...rendered.map(asNew)] : changes;
    const services = planServices(concerned, {
      configChanged,
      readCertificate: certificate.isNew ? servers : [],
      restartAll: isPending ? [...DAEMONS, ...servers] : [],
    });
    await prepareServices(host, services, note);
    await validate(
      host,
      concerned.map(({ service }) => service),
    );
    if (certificate.isPlaceholder) told = ['nginx.service'];
    await obtainCertificate(input, certificate);
    told = SERVERS;
    await runServices(host, services, enable, note);
    await requireRunning(host);
    await testLogin(host, input.config, note);
    await writeRecord(host, recordOf(rendered, input.configHash));
    await rememberCertificate(host, certificate.paths);
    await clearPending(host);
  } catch (error) {
    await giveUp(input, backup, told, error, isPending);
  }
  print(`A throw-away account logged in. ${finish(changes, backup.directory)}`);
}

function hasChanged(record: Survey['record'], configHash: string): boolean {
  return record !== undefined && record.configHash !== configHash;
}

function asNew({ path, service, text, mode }: RenderedFile): Change {
  return { path, service, before: undefined, after: { text, mode } };
}

function describe({ print, configHash }: ApplyInput, { changes, record, enable, retire, isPending }: Survey): void {
  const configChanged = hasChanged(record, configHash);
  if (changes.length + enable.length + retire.length === 0 && !configChanged && !isPending) {
    print('Nothing to change.');
    return;
  }
  for (const change of changes) print(diffOf(change));
  for (const change of changes) print(summary(change));
  if (retire.length > 0) print(`stop and disable: ${retire.map(({ name }) => name).join(' ')}`);
  if (enable.length > 0) print(`enable and start: ${enable.join(' ')}`);
  if (configChanged) print('chatmail.ini has changed: our daemons read it again');
  print('Nothing was changed: this was a dry run.');
}

function summary({ path, before, after }: Change): string {
  if (!after) return `remove   ${path}`;
  if (!before) return `new      ${path}`;
  return isOurs(before.text) ? `change   ${path}` : `replace  ${path}`;
}

function diffOf({ path, before, after }: Change): string {
  const modes =
    before && after && before.mode !== after.mode
      ? `mode of ${path}: ${before.mode.toString(8)} -> ${after.mode.toString(8)}\n`
      : '';
  return `${modes}${unifiedDiff(path, before?.text, after?.text)}`.trimEnd();
}

/** Puts everything back and says why, and whether that went well too. */
async function giveUp(
  input: ApplyInput,
  backup: Backup,
  told: readonly string[],
  error: unknown,
  wasPending: boolean,
): Promise<never> {
  const { message, stack, syscall } = error as NodeJS.ErrnoException;
  const isOfSystem = syscall !== undefined;
  const exitCode = error instanceof ExitError ? error.exitCode : isOfSystem ? EXIT_TEMPORARY : EXIT_BUG;
  // A full disk needs no list of lines in our code.
  const reason = exitCode === EXIT_BUG ? String(stack ?? error) : message;
  let outcome = 'everything was put back as it was';
  try {
    await putBack(input.host, [backup], input.note, told);
    // What was put back is what a killed run had left.
    if (!wasPending) await clearPending(input.host);
  } catch (second) {
    outcome = `putting everything back failed too (${(second as Error).message}): see ${backup.directory}`;
  }
  throw new ExitError(exitCode, `${reason}\n${outcome}`, { cause: error });
}

function finish(changes: readonly Change[], directory: string): string {
  const files = `${changes.length} file${changes.length === 1 ? '' : 's'} changed`;
  return changes.length === 0
    ? 'No file changed.'
    : `${files}; what was there before is in ${directory}, and chatmailctl apply --undo brings it back.`;
}
