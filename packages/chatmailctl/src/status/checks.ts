/**
 * Judges what `status` found out: for each part of the relay one line a tired operator understands, and where something is
 * wrong, what to do about it. Pure. No line names an account or an address of a user.
 */

import type { Config } from '#core';
import type { CheckedRecord } from '../dns/compare.ts';
import { certificatePaths } from '../production-layout.ts';
import { type Check, fail, ok, warn } from './check.ts';
import type { Found, QueueFacts, ServedCertificate, StatusFacts } from './facts.ts';
import { checkUnits } from './unit-checks.ts';

const DAY_MS = 86_400_000;
/** Certificates are renewed 30 days before their end. */
const CERTIFICATE_WARN_DAYS = 14;
const CERTIFICATE_FAIL_DAYS = 3;
/** A mail that waits for longer is not just greylisted. */
const QUEUE_WARN_SECONDS = 6 * 3600;
const QUEUE_WARN_MESSAGES = 500;
/** A push that waits for longer has been tried more than once. */
const PUSH_WARN_SECONDS = 120;
const DISK_WARN_PERCENT = 10;
/** Mail bounces back to the queue soon. */
const DISK_FAIL_BYTES = 64 * 2 ** 20;

/** All checks, in the order they are shown. */
export function checkRelay(config: Config, facts: StatusFacts, nowMs: number): Check[] {
  return [
    ...checkUnits(facts.units, facts.answers),
    checkPorts(facts),
    orFail('certificate', facts.certificate, 'clients are shown none: see ports, then chatmailctl tls', (served) =>
      checkCertificate(config, served, nowMs),
    ),
    ...checkDns(config, facts),
    orFail('queue', facts.queue, 'systemctl status postfix', checkQueue),
    orFail('push', facts.push, 'systemctl restart metadata-push; journalctl -u metadata-push -n 50', checkPush),
    ...facts.disks.map((disk, index) => {
      const name = index === 0 ? 'disk' : `disk ${index + 1}`;
      return orUnknown(name, disk, (found) => checkDisk(name, config, found));
    }),
    orUnknown('memory', facts.memory, (memory) => checkMemory(config, memory)),
    checkAccounts(config, facts),
    ok('limits', formatLimits(config)),
    orUnknown('configuration', facts.changedFiles, checkChangedFiles),
    ok(
      'versions',
      Object.entries(facts.versions)
        .map(([program, version]) => `${program} ${version}`)
        .join(', '),
    ),
  ];
}

/** A part that does not say how it is does not work, unless it only does not tell this user. */
function orFail<T>(name: string, found: Found<T>, fix: string, check: (value: T) => Check): Check {
  if ('value' in found || found.isForbidden) return orUnknown(name, found, check);
  return fail(name, found.unknown, fix);
}

function orUnknown<T>(name: string, found: Found<T>, check: (value: T) => Check): Check {
  if ('value' in found) return check(found.value);
  if (found.isForbidden) return warn(name, 'only root can see that', 'run this as root');
  return warn(name, found.unknown, 'see the message');
}

function checkPorts({ ports }: StatusFacts): Check {
  const troubled = ports.filter(({ trouble }) => trouble !== undefined);
  if (troubled.length === 0) return ok('ports', ports.map(({ port }) => port).join(', '));
  const kinds = [...new Set(troubled.map(({ trouble }) => trouble!))];
  const text = kinds
    .map((kind) => {
      const those = troubled.filter(({ trouble }) => trouble === kind);
      return `${kind}: ${those.map(({ port, service }) => `${port} (${service})`).join(', ')}`;
    })
    .join('; ');
  return fail('ports', text, 'the service behind it is down or not configured: see above, then chatmailctl apply');
}

/** Judges the certificate that clients are shown. */
export function checkCertificate(config: Config, served: ServedCertificate, nowMs: number): Check {
  const days = Math.floor((served.expiresMs - nowMs) / DAY_MS);
  const end = new Date(served.expiresMs).toISOString().slice(0, 10);
  const isExternal = certificatePaths(config).kind === 'external';
  const renew = isExternal
    ? 'whoever keeps the two files of tls_external_cert_and_key must renew them; if they have: journalctl -u chatmail-tls'
    : 'chatmailctl tls; journalctl -u chatmail-tls';
  if (days < 0) return fail('certificate', `expired on ${end}`, renew);
  if (!served.matchesName)
    return fail(
      'certificate',
      `is not for ${config.mail_domain}`,
      isExternal ? 'put the right one in place, then chatmailctl tls' : renew,
    );
  if (!config.isSelfSigned && served.refusedFor !== undefined) {
    return fail(
      'certificate',
      `clients refuse it (${served.refusedFor})`,
      isExternal ? 'put the whole chain in place, then chatmailctl tls' : renew,
    );
  }
  const text = `until ${end}, ${days} days${served.isSelfSigned ? ', signed by itself' : ''}`;
  if (days < CERTIFICATE_FAIL_DAYS) return fail('certificate', text, renew);
  return days < CERTIFICATE_WARN_DAYS ? warn('certificate', text, renew) : ok('certificate', text);
}

function checkDns(config: Config, { dns }: StatusFacts): Check[] {
  if (dns === undefined) return config.isIpRelay ? [ok('dns', 'not needed: the relay is an address')] : [];
  if (!('value' in dns)) return [orUnknown('dns', dns, () => ok('dns', ''))];
  const isDkim = ({ name }: CheckedRecord) => name.includes('._domainkey.');
  const { records } = dns.value;
  return [
    dnsCheck(
      'dns',
      records.filter((record) => !isDkim(record)),
    ),
    dnsCheck('dkim', records.filter(isDkim)),
  ];
}

function dnsCheck(name: string, records: readonly CheckedRecord[]): Check {
  const fix = 'chatmailctl dns --check says what to add';
  const named = (list: readonly CheckedRecord[]) =>
    list.map(({ type, name, state }) => `${type} ${name} ${state}`).join(', ');
  const open = records.filter(({ state }) => state === 'missing' || state === 'wrong');
  const required = open.filter(({ level }) => level === 'required');
  if (required.length > 0) return fail(name, named(required), fix);
  const unknown = records.filter(({ state, level }) => state === 'unknown' && level === 'required');
  if (unknown.length > 0)
    return warn(name, 'no name server answers', 'is port 53 open to the outside? cat /etc/resolv.conf');
  if (open.length > 0) return warn(name, `recommended: ${named(open)}`, fix);
  if (name === 'dkim') return ok(name, 'the key in the DNS is the one mail is signed with');
  const silent = records.filter(({ state }) => state === 'unknown').length;
  return ok(
    name,
    silent === 0 ? 'all records are there' : `what is required is there; no answer about ${silent} others`,
  );
}

function checkQueue({ active, deferred, held, oldestSeconds, reasons }: QueueFacts): Check {
  const why = Object.entries(reasons)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
  const waits = deferred > 0 ? `, the oldest for ${formatSeconds(oldestSeconds)} (${why})` : '';
  const text = `${active} on their way, ${deferred} put off${waits}${held > 0 ? `, ${held} on hold` : ''}`;
  const isSlow = oldestSeconds > QUEUE_WARN_SECONDS || active + deferred > QUEUE_WARN_MESSAGES;
  return isSlow ? warn('queue', text, 'postqueue -p shows them; postqueue -f tries again') : ok('queue', text);
}

function checkPush(push: Extract<StatusFacts['push'], { value: unknown }>['value']): Check {
  const text = `${push.tokens} devices, ${push.queueDepth} pushes waiting`;
  if (push.openCircuits.length > 0) {
    return warn(
      'push',
      `${text}; not answering: ${push.openCircuits.join(', ')}`,
      'can this machine reach the push services? chatmailctl push stats',
    );
  }
  if (push.isSilent) return warn('push', `${text}; nothing was delivered for a day`, 'chatmailctl push test ADDRESS');
  if (push.queueOldestSeconds > PUSH_WARN_SECONDS) {
    return warn('push', `${text}, the oldest for ${formatSeconds(push.queueOldestSeconds)}`, 'chatmailctl push stats');
  }
  return ok('push', text);
}

function checkDisk(
  name: string,
  config: Config,
  disk: Extract<StatusFacts['disks'][number], { value: unknown }>['value'],
): Check {
  const percent = Math.floor((disk.freeBytes / disk.totalBytes) * 100);
  const text = `${disk.what}: ${formatBytes(disk.freeBytes)} free (${percent} %)`;
  const fix = 'make room, or lower delete_mails_after and max_mailbox_size in chatmail.ini';
  if (disk.totalInodes > 0 && disk.freeInodes < disk.totalInodes * 0.02)
    return fail(name, `${disk.what}: no inodes left`, fix);
  if (disk.freeBytes < DISK_FAIL_BYTES) return fail(name, text, fix);
  if (disk.freeBytes < config.min_free_disk_space) return warn(name, `${text}; no new accounts`, fix);
  return percent < DISK_WARN_PERCENT ? warn(name, text, fix) : ok(name, text);
}

function checkMemory(config: Config, { availableBytes, load1 }: { availableBytes: number; load1: number }): Check {
  const text = `${formatBytes(availableBytes)} available, load ${load1.toFixed(1)}`;
  const fix = 'see what uses it (top), or change min_available_memory and max_load_1m in chatmail.ini';
  const isShort = availableBytes < config.min_available_memory || load1 > config.max_load_1m;
  return isShort ? warn('memory', `${text}; no new accounts`, fix) : ok('memory', text);
}

function checkAccounts(config: Config, { isCreationStopped }: StatusFacts): Check {
  if (isCreationStopped) return warn('accounts', 'new ones are stopped', 'rm /etc/chatmail-nocreate');
  const text = { open: 'anybody may join', token: 'by invitation', closed: 'closed' }[config.registration];
  return ok('accounts', text);
}

function formatLimits(config: Config): string {
  const { max_mailbox_size, max_message_size, max_user_send_per_minute, delete_mails_after } = config;
  const { delete_inactive_users_after } = config;
  return [
    `mailbox ${formatBytes(max_mailbox_size)}`,
    `message ${formatBytes(max_message_size)}`,
    `${max_user_send_per_minute} messages a minute`,
    `mail kept ${delete_mails_after} days, unused accounts ${delete_inactive_users_after}`,
  ].join(', ');
}

function checkChangedFiles(paths: readonly string[]): Check {
  if (paths.length === 0) return ok('configuration', 'as chatmail.ini says');
  const names = paths.length > 3 ? `${paths.slice(0, 3).join(', ')} and ${paths.length - 3} more` : paths.join(', ');
  return warn(
    'configuration',
    `not as chatmail.ini says: ${names}`,
    'chatmailctl apply --dry-run shows the difference',
  );
}

function formatSeconds(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function formatBytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MB` : `${(bytes / 2 ** 30).toFixed(1)} GB`;
}
