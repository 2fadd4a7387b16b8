/**
 * [io] Finds out everything `status` judges, all at once, each part within some seconds.
 */

import { existsSync } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { type Config, METADATA_SOCKET, packageVersion } from '#core';
import { pushStats } from '../accounts/metadata-client.ts';
import type { Host } from '../apply/host.ts';
import { relayUnits } from '../apply/units.ts';
import { checkZone, readZone } from '../dns/check.ts';
import type { HostFacts } from '../layout.ts';
import { productionLayout } from '../production-layout.ts';
import { renderRelay } from '../render/relay.ts';
import { postfixUnit } from '../render/systemd.ts';
import { askDoveauth, askFilter } from './answers.ts';
import { readChangedFiles } from './changed-files.ts';
import type { DiskFacts, Found, StatusFacts, UnitFacts } from './facts.ts';
import { type Listener, readServedCertificate, tryPort } from './listeners.ts';
import { readQueue } from './mail-queue.ts';
import { parseUnits } from './unit-facts.ts';

const POSTFIX_QUEUE = '/var/spool/postfix';
const NO_CREATE = '/etc/chatmail-nocreate';
/** The longest any part takes; what is slower is as good as down. */
const LIMIT_MS = 10_000;
/** Finding the name servers, finding out that they are silent, and asking the resolver instead. */
const DNS_LIMIT_MS = 25_000;
/** What the timers start. */
const JOBS = ['chatmail-expire.service', 'chatmail-fsreport.service', 'chatmail-tls.service'];

/** Looks at the whole relay. Never rejects: what cannot be found out is said to be unknown. */
export async function gatherFacts(host: Host, config: Config, facts: HostFacts, nowMs: number): Promise<StatusFacts> {
  const { ports, sockets } = productionLayout(config, facts);
  const rendered = renderRelay(config, facts);
  const units = found(readUnits(host, unitsOf(facts, rendered)));
  // Asking wakes a daemon that sleeps; first it is seen whether it does.
  const [filtermail, doveauth] = [
    units.then(() => askFilter(sockets.incoming!)),
    units.then(() => askDoveauth(sockets.http)),
  ];
  const [filter, accounts, tried, certificate, dns, queue, push, disks, memory, changedFiles] = await Promise.all([
    found(filtermail),
    found(doveauth),
    Promise.all(listenersOf(ports, facts).map(tryPort)),
    found(readServedCertificate(ports.imaps, config.mail_domain)),
    config.isIpRelay
      ? undefined
      : found(
          readZone(config).then((records) => checkZone(config, records)),
          DNS_LIMIT_MS,
        ),
    found(readQueue(nowMs)),
    found(pushStats(METADATA_SOCKET)),
    readDisks(config),
    found(readMemory()),
    found(readChangedFiles(host, rendered)),
  ]);
  return {
    units: await units,
    answers: { filtermail: filter, doveauth: accounts },
    ports: tried,
    certificate,
    dns,
    queue,
    push,
    disks,
    memory,
    changedFiles,
    isCreationStopped: existsSync(NO_CREATE),
    versions: {
      'chatmail-sidecars': packageVersion(),
      Postfix: facts.postfixVersion,
      Dovecot: facts.dovecotVersion.split(' ')[0]!,
      Node: process.versions.node,
    },
  };
}

function unitsOf(facts: HostFacts, rendered: ReturnType<typeof renderRelay>): string[] {
  const paths = rendered.map(({ path }) => path);
  const units = relayUnits(facts.nginx.installed, paths);
  // Of an instance, the unit without @ only says that it was started once.
  return [...units.map((unit) => (unit === 'postfix.service' ? postfixUnit(facts) : unit)), ...JOBS];
}

async function found<T>(work: Promise<T>, limitMs = LIMIT_MS): Promise<Found<T>> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return { value: await Promise.race([work, limit]) };
  } catch (error) {
    const { message, cause = error } = error as Error;
    const { code } = cause as NodeJS.ErrnoException;
    const { path } = error as NodeJS.ErrnoException;
    const unknown =
      code === 'ENOENT' && path !== undefined ? `there is no ${path}; chatmailctl init makes it` : message;
    return { unknown, isForbidden: code === 'EACCES' || code === 'EPERM' };
  } finally {
    clearTimeout(timer);
  }
}

async function readUnits(host: Host, names: readonly string[]): Promise<UnitFacts[]> {
  const properties = 'Id,LoadState,ActiveState,SubState,Result,UnitFileState';
  const { code, output } = await host.run('systemctl', ['show', '--property', properties, '--', ...names]);
  if (code !== 0) throw new Error('systemctl does not answer');
  return parseUnits(names, output);
}

function listenersOf(ports: ReturnType<typeof productionLayout>['ports'], { nginx }: HostFacts): Listener[] {
  const submission = ports.submission === undefined ? [] : [listener(ports.submission, 'submission', false, '220 ')];
  const web = nginx.installed && !nginx.port443Taken ? [listener(80, 'http', false), listener(443, 'https', true)] : [];
  return [
    listener(ports.smtp, 'smtp', false, '220 '),
    listener(ports.submissions, 'submissions', true, '220 '),
    ...submission,
    listener(ports.imaps, 'imaps', true, '* OK'),
    ...web,
  ];
}

function listener(port: number, service: string, tls: boolean, greeting?: string): Listener {
  return { port, service, tls, greeting };
}

/** The disk of the mail and that of the queue; one when it is the same. */
async function readDisks(config: Config): Promise<Found<DiskFacts>[]> {
  const [mail, queue] = await Promise.all([
    found(readDisk('mail', config.mailboxes_dir)),
    found(readDisk('mail queue', POSTFIX_QUEUE)),
  ]);
  const isOne = 'value' in mail && 'value' in queue && mail.value.device === queue.value.device;
  return isOne ? [{ value: { ...mail.value, what: 'mail and queue' } }] : [mail, queue];
}

async function readDisk(what: string, path: string): Promise<DiskFacts> {
  const [{ bavail, blocks, bsize, ffree, files }, { dev }] = await Promise.all([statfs(path), stat(path)]);
  const [freeBytes, totalBytes] = [bavail * bsize, blocks * bsize];
  return { what, device: dev, freeBytes, totalBytes, freeInodes: ffree, totalInodes: files };
}

async function readMemory(): Promise<{ availableBytes: number; load1: number }> {
  const [memory, load] = await Promise.all([readFile('/proc/meminfo', 'utf8'), readFile('/proc/loadavg', 'utf8')]);
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(memory)?.[1];
  return { availableBytes: Number(kib) * 1024, load1: Number(load.split(' ')[0]) };
}
