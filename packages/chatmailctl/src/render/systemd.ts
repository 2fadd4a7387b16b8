/**
 * Drop-ins for the units of ours, of Postfix and of Dovecot: what depends on chatmail.ini or on the host and can therefore not
 * stand in the packaged units. Most relays get few of them. systemd.exec(5), systemd.service(5); systemd 252 and 257.
 */

import type { Config } from '#core';
import { HEADER, type HostFacts, type RelayLayout, type RenderedFiles } from '../layout.ts';
import { dovecotCommand, postfixCommand } from './log.ts';

/** Below this much memory daemons end when they have nothing to do. A machine sold with 2 GB has more, one with 1 GB less. */
export const SMALL_MACHINE_BYTES = 1.5 * 2 ** 30;
/** Seconds without a connection; starting again takes a daemon less than half a second. */
const IDLE_EXIT_SECONDS = 60;

/** What the packaged units allow. */
const DEFAULT_MAILBOXES_ROOT = '/home/vmail';
const DEFAULT_STATE = '/var/lib/chatmail/state';
const DEFAULT_DKIM_KEY = '/etc/dkimkeys/opendkim.private';
/** LimitNOFILE= of Debian's dovecot.service. */
const DOVECOT_FILES = 65_535;

/** Renders the drop-ins that are needed; the name of each is /etc/systemd/system/UNIT.d/50-chatmail.conf. */
export function renderSystemd(config: Config, facts: HostFacts, layout: RelayLayout): RenderedFiles {
  const units: [unit: string, section: 'Service' | 'Socket', lines: string[]][] = [
    ['filtermail.service', 'Service', [...idleExit('filtermail', facts), ...dkimKey(config)]],
    ['doveauth.service', 'Service', [...idleExit('doveauth', facts), ...mailboxes(layout), ...state(config)]],
    ['metadata-push.service', 'Service', [...idleExit('metadata-push', facts), ...mailboxes(layout), ...state(config)]],
    ['chatmail-expire.service', 'Service', mailboxes(layout)],
    ['doveauth-new.socket', 'Socket', facts.nginx.installed ? WEB_SERVER_SOCKET : []],
    [postfixUnit(facts), 'Service', [...postfixMain(facts, layout), ...RESTART]],
    ['dovecot.service', 'Service', [...dovecotMain(layout), ...dovecotFiles(layout), ...RESTART]],
  ];
  return Object.fromEntries(
    units
      .filter(([, , lines]) => lines.length > 0)
      .map(([unit, section, lines]) => [
        `/etc/systemd/system/${unit}.d/50-chatmail.conf`,
        `# ${HEADER}\n[${section}]\n${lines.join('\n')}\n`,
      ]),
  );
}

/** With Restart=always it would be started again at once. */
function idleExit(daemon: string, facts: HostFacts): string[] {
  if (facts.memoryBytes >= SMALL_MACHINE_BYTES) return [];
  return [
    'ExecStart=',
    `ExecStart=${quoted(`${facts.programRoot}/bin/${daemon}`)} --idle-exit ${IDLE_EXIT_SECONDS}`,
    'Restart=on-failure',
  ];
}

function mailboxes({ directories }: RelayLayout): string[] {
  return isBelow(directories.mailboxes, DEFAULT_MAILBOXES_ROOT)
    ? []
    : [`ReadWritePaths=${quoted(directories.mailboxes)}`];
}

function state({ state_dir }: Config): string[] {
  return isBelow(state_dir, DEFAULT_STATE) ? [] : [`ReadWritePaths=${quoted(state_dir)}`];
}

function dkimKey({ dkim_key, isIpRelay }: Config): string[] {
  if (isIpRelay || dkim_key === DEFAULT_DKIM_KEY || dkim_key === '') return [];
  return ['LoadCredential=', `LoadCredential=dkim_key:${dkim_key.replaceAll('%', '%%')}`];
}

/** The web server passes /new on. As shipped, the socket is open to root only. */
const WEB_SERVER_SOCKET = ['SocketUser=www-data'];

/** Debian's units leave a mail server down that was killed for memory, and wait 90 s for a process that does not end. */
const RESTART = ['Restart=always', 'RestartSec=2', 'TimeoutStopSec=20'];

/** In the foreground, so that its log can be a pipe. What was forked is there when it is told to be, so this waits too. */
function postfixMain({ debian }: HostFacts, layout: RelayLayout): string[] {
  return [
    'Type=exec',
    // Debian 13 does that already.
    ...(debian !== undefined && debian >= 13 ? [] : ['ExecStartPre=/usr/sbin/postfix check']),
    'ExecStart=',
    `ExecStart=${postfixCommand(layout)}`,
    "ExecStartPost=/bin/sh -c 'while /usr/lib/postfix/sbin/master -t 2>/dev/null; do sleep 0.1; done; sleep 0.1'",
    'TimeoutStartSec=60',
    'SyslogIdentifier=postfix',
  ];
}

function dovecotMain(layout: RelayLayout): string[] {
  return ['ExecStart=', `ExecStart=${dovecotCommand(layout)}`, 'SyslogIdentifier=dovecot'];
}

function dovecotFiles({ limits }: RelayLayout): string[] {
  // imap-login has two for each session, auth, anvil and stats one for each process.
  const files = 4 * limits.imapConnections + 3 * limits.smtpConnections + 4096;
  return files > DOVECOT_FILES ? [`LimitNOFILE=${files}`] : [];
}

/** Since 3.9 Debian's default instance is postfix.service, before it was an instance of a template. */
export function postfixUnit({ postfixVersion }: HostFacts): string {
  const [major = 0, minor = 0] = postfixVersion.split('.').map(Number);
  return major > 3 || (major === 3 && minor >= 9) ? 'postfix.service' : 'postfix@-.service';
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** A word of a unit file: systemd.syntax(7), quoting, and specifiers. */
export function quoted(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w/.@:+\-[\]%]+$/.test(escaped) ? escaped : `"${escaped}"`;
}
