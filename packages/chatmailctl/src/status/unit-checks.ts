/**
 * Judges what systemd says of the relay's units, and whether the daemons behind them answer. Pure.
 */

import { DAEMONS, isServer } from '../apply/units.ts';
import { type Check, fail, ok, warn } from './check.ts';
import type { Found, StatusFacts, UnitFacts } from './facts.ts';

/** One check for each daemon with its sockets, each server, and the timers together. */
export function checkUnits(found: Found<readonly UnitFacts[]>, answers: StatusFacts['answers']): Check[] {
  if (!('value' in found)) return [fail('units', found.unknown, 'is systemd running on this machine?')];
  const units = found.value;
  const daemons = DAEMONS.map((daemon) => {
    const name = daemon.replace('.service', '');
    const group = units.filter(
      (unit) => unit.name === daemon || unit.name.startsWith(`${name}-`) || unit.name === `${name}.socket`,
    );
    const check = checkGroup(name, group);
    const answer = answers[name];
    if (check.state === 'fail' || answer === undefined || 'value' in answer || answer.isForbidden) return check;
    const fix = `systemctl restart ${name}; if that does not help: journalctl -u ${name} -n 50`;
    return fail(name, `its sockets are there, but it does not answer (${answer.unknown})`, fix);
  });
  const servers = units
    .filter(({ name }) => isServer(name) || name === 'postfix@-.service')
    .map((unit) => checkGroup(unit.name.replace(/(?:@-)?\.service/, ''), [unit]));
  return [...daemons, ...servers, checkJobs(units)];
}

/** A daemon may be inactive as long as its sockets listen: the next connection starts it. */
function checkGroup(name: string, units: readonly UnitFacts[]): Check {
  const missing = units.filter(({ isInstalled }) => !isInstalled);
  if (missing.length > 0 || units.length === 0) {
    return fail(
      name,
      `not installed: ${missing.map((unit) => unit.name).join(', ')}`,
      'install the package again, or chatmailctl units',
    );
  }
  const isActivated = units.some((unit) => unit.name.endsWith('.socket'));
  const broken = units.filter(
    (unit) =>
      !(unit.active === 'active' || (isActivated && unit.name.endsWith('.service') && unit.active === 'inactive')),
  );
  if (broken.length === 0) {
    const lost = units.filter((unit) => !unit.isEnabled && startsByItself(unit));
    if (lost.length > 0) {
      return warn(name, 'running, but not after the next reboot', `systemctl enable ${namesOf(lost)}`);
    }
    const service = units.find((unit) => unit.name.endsWith('.service'));
    return ok(name, service?.active === 'active' ? 'running' : 'asleep, its sockets listen');
  }
  const text = broken
    .map((unit) => `${unit.name} is ${unit.active}${unit.result === 'success' ? '' : ` (${unit.result})`}`)
    .join(', ');
  return fail(name, text, `systemctl start ${namesOf(broken)}; if that fails: journalctl -u ${broken[0]!.name} -n 50`);
}

/** Whether it must be enabled: the daemons come with their sockets, and Postfix's instance with postfix.service. */
function startsByItself({ name }: UnitFacts): boolean {
  return name.endsWith('.socket') || isServer(name);
}

function namesOf(units: readonly UnitFacts[]): string {
  return units.map(({ name }) => name).join(' ');
}

/** Timers, and how the jobs they start ended last. */
function checkJobs(units: readonly UnitFacts[]): Check {
  const jobs = units.filter(({ name }) => /^chatmail-.*\.(?:timer|service|path)$/.test(name));
  const off = jobs.filter((unit) => !unit.name.endsWith('.service') && unit.active !== 'active');
  if (off.length > 0) {
    const names = namesOf(off);
    return fail(
      'timers',
      `not running: ${names}`,
      `systemctl enable --now ${names}; without them nothing is forgotten`,
    );
  }
  const lost = jobs.filter((unit) => !unit.isEnabled && !unit.name.endsWith('.service'));
  if (lost.length > 0) {
    return warn('timers', `not after the next reboot: ${namesOf(lost)}`, `systemctl enable ${namesOf(lost)}`);
  }
  // Of one that is not there (chatmail-tls, before the first apply) nothing ended.
  const failed = jobs.filter(
    ({ result, name, isInstalled }) =>
      isInstalled && name.endsWith('.service') && result !== 'success' && result !== '',
  );
  if (failed.length > 0) {
    const names = namesOf(failed);
    return warn('timers', `ended badly last time: ${names}`, `journalctl -u ${failed[0]!.name} -n 20`);
  }
  return ok(
    'timers',
    jobs
      .filter(({ name }) => name.endsWith('.timer'))
      .map(({ name }) => name.replace('.timer', ''))
      .join(', '),
  );
}
