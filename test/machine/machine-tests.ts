/**
 * The life of one relay on one Debian, from the package to its removal, as tests that follow each other on one machine: each
 * leaves it as it found it. One that fails says what the units involved logged. Figures are printed at the end.
 */

import { after, before, test } from 'node:test';
import type { Suite } from './image.ts';
import { RelayMachine } from './relay-machine.ts';
import { fullDisk, fullMemory } from './scenarios/full.ts';
import { applyAgain, install, strangers, webServer } from './scenarios/install.ts';
import { foreignMailWaits, reboot, stopped, upgrade } from './scenarios/interruptions.ts';
import { removeAndPurge, undo } from './scenarios/leave.ts';
import { idleMemory } from './scenarios/memory.ts';
import { nothingPersonal } from './scenarios/privacy.ts';
import { statusTells } from './scenarios/status.ts';
import { adopt, failedApply, takeOver } from './scenarios/take-over.ts';

/** The packages under test, made by test/machine.sh. */
export function packagesUnderTest(): { chatmail: string; next: string } {
  const { CHATMAIL_DEB: chatmail, CHATMAIL_DEB_NEXT: next } = process.env;
  if (!chatmail || !next)
    throw new Error('CHATMAIL_DEB and CHATMAIL_DEB_NEXT name no packages: use npm run test:machine');
  return { chatmail, next };
}

export function machineTests(suite: Suite): void {
  let machine: RelayMachine;
  /** After a failure nothing is as the next test expects it, but what they say may still help: they are tried. */
  const step = (name: string, scenario: (machine: RelayMachine) => Promise<unknown>) =>
    test(name, { timeout: 400_000 }, async (t) => {
      const startedMs = performance.now();
      await scenario(machine).catch(async (error: Error) => {
        t.diagnostic(await machine.evidence());
        throw error;
      });
      t.diagnostic(`${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
    });

  before(async () => {
    machine = await RelayMachine.boot(suite, packagesUnderTest());
  });
  after(async () => {
    for (const [name, figure] of machine?.figures ?? []) console.log(`# ${name}: ${figure}`);
    await machine?.stop();
  });

  step('package, init, apply, and two people meet', install);
  step('apply again changes nothing', applyAgain);
  step('a wrong password', strangers);
  step('the web server', webServer);
  step('status, and what it notices', statusTells);
  step('memory when idle', idleMemory);
  step('a reboot', reboot);
  step('an upgrade under load', upgrade);
  step('doveauth stopped', (m) =>
    stopped(m, 'doveauth', {
      login: m.dovecot24 ? 'works' : 'later',
      submission: m.dovecot24 ? 'accepted' : 'delayed',
    }),
  );
  step('filtermail stopped', (m) => stopped(m, 'filtermail', { login: 'works', submission: 'delayed' }));
  step('metadata-push stopped', (m) => stopped(m, 'metadata-push', { login: 'works', submission: 'accepted' }));
  step('Postfix stopped', (m) => stopped(m, 'postfix', { login: 'works', submission: 'delayed' }));
  step('Dovecot stopped', (m) => stopped(m, 'dovecot', { login: 'no connection', submission: 'delayed' }));
  step('mail from elsewhere while Dovecot is stopped', foreignMailWaits);
  step('a full disk', fullDisk);
  step('no memory', fullMemory);
  step('nothing personal in the journal', nothingPersonal);
  step('apply --undo, and apply', undo);
  step('an apply that fails', failedApply);
  step('a configuration somebody wrote', takeOver);
  step('a relay of cmdeploy', adopt);
  step('remove and purge', removeAndPurge);
}
