/**
 * [io] A directory that stands for a machine with Debian's Postfix and Dovecot, with programs that do as little as apply needs to see:
 * systemctl keeps who is enabled and running, doveadm lets people in, and each can be told to fail.
 */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Config, parseConfig } from '#core';
import { apply } from '../../src/apply/apply.ts';
import type { Host } from '../../src/apply/host.ts';
import type { PortOwner } from '../../src/apply/ports.ts';
import { md5 } from '../../src/apply/stock.ts';
import { undo } from '../../src/apply/undo.ts';
import { DAEMONS, SOCKETS, socketsOf } from '../../src/apply/units.ts';
import type { HostFacts } from '../../src/layout.ts';
import { renderRelay } from '../../src/render/relay.ts';
import type { RunResult } from '../../src/run.ts';
import { FACTS } from '../layouts.ts';

const SHIPPED = join(import.meta.dirname, '../../../../systemd');
const DOVECOT_CONF = 'protocols = imap\n!include conf.d/*.conf\n';
const MASTER_CF = 'smtp inet n - y - - smtpd\n';
const MAIN_CF = 'compatibility_level = 3.6\nmyhostname = relay\nrelayhost =\n';

export class TestMachine {
  readonly root = mkdtempSync(`${tmpdir()}/apply-`);
  readonly ran: string[] = [];
  readonly lines: string[] = [];
  readonly enabled = new Set(['postfix.service', 'dovecot.service', 'nginx.service']);
  readonly active = new Set(this.enabled);
  /** dehydrated has a certificate for whoever asks. */
  issuesCertificates = false;
  /** Units that end as soon as they are started. */
  readonly crashing = new Set<string>();
  /** Somebody connects all the time: a daemon that stops while one of its sockets stays open is started again at once. */
  isBusy = false;
  /** Mode and owner of the sockets, by path; they stay when a socket is closed. */
  readonly access = new Map<string, string>();
  /** Socket units as they were when systemd read them last. */
  readonly #loaded = new Map<string, (key: string) => string>();
  /** Commands that begin so fail, saying this. */
  readonly failures = new Map<string, string>();
  readonly owners: PortOwner[] = [];
  facts: HostFacts = FACTS;
  config = 'mail_domain = 10.1.2.3\n';

  constructor() {
    this.#load();
    this.write('/etc/passwd', 'vmail:x:0:0::/home/vmail:/bin/false\n');
    this.write('/etc/ssl/certs/ca-certificates.crt', '');
    this.write('/run/systemd/system/.keep', '');
    this.write('/home/vmail/mail/[10.1.2.3]/.keep', '');
    this.write('/etc/postfix/main.cf', MAIN_CF);
    this.write('/usr/share/postfix/main.cf.debian', 'compatibility_level = 3.6\n');
    this.write('/etc/postfix/master.cf', MASTER_CF);
    this.write('/etc/dovecot/dovecot.conf', DOVECOT_CONF);
    this.write('/etc/dovecot/conf.d/10-auth.conf', 'auth_mechanisms = plain\n');
    this.write(
      '/var/lib/ucf/hashfile',
      `${md5(MASTER_CF)}  /etc/postfix/master.cf\n${md5(DOVECOT_CONF)}  /etc/dovecot/dovecot.conf\n${md5('auth_mechanisms = plain\n')}  /etc/dovecot/conf.d/10-auth.conf\n`,
    );
  }

  get host(): Host {
    return {
      root: this.root,
      portOwners: async () => this.owners,
      pause: async () => {},
      run: async (program, args) => {
        const line = [program, ...args].join(' ');
        this.ran.push(line);
        for (const [start, output] of this.failures)
          if (line.startsWith(start)) return { code: program === 'doveadm' ? 77 : 1, output };
        if (program === 'dehydrated' && args.includes('--cron') && this.issuesCertificates) this.#issue();
        if (program === 'systemctl') return this.#systemctl(args);
        const [word = '', path = ''] = args;
        const [mode, owner] = this.access.get(path)?.split(' ') ?? [];
        if (program === 'stat') return { code: mode ? 0 : 1, output: `${mode} ${owner}\n` };
        if (program === 'chown') this.access.set(path, `${mode} ${word}`);
        if (program === 'chmod') this.access.set(path, `${word.replace(/^0/, '')} ${owner}`);
        return { code: 0, output: 'ok\n' };
      },
    };
  }

  #load(): void {
    for (const unit of SOCKETS) {
      const dropIn = `${this.root}/etc/systemd/system/${unit}.d/50-chatmail.conf`;
      const texts = [join(SHIPPED, unit), dropIn].map((path) => (existsSync(path) ? readFileSync(path, 'utf8') : ''));
      this.#loaded.set(unit, (key) => [...texts.join('\n').matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].at(-1)![1]!);
    }
  }

  #open(socket: string): void {
    const value = this.#loaded.get(socket)!;
    if (!this.active.has(socket))
      this.access.set(
        value('ListenStream'),
        `${value('SocketMode').slice(1)} ${value('SocketUser')}:${value('SocketGroup')}`,
      );
    this.active.add(socket);
  }

  #issue(): void {
    const name = /mail_domain = (.*)/.exec(this.config)![1]!;
    const made = `/var/lib/chatmail/acme/dehydrated/certs/${name}`;
    this.write(`${made}/fullchain.pem`, this.read('/authority/chain'));
    this.write(`${made}/privkey.pem`, this.read('/authority/key'));
  }

  #systemctl(args: readonly string[]): RunResult {
    const [verb = '', ...rest] = args;
    const units = rest.filter((word) => /\.(service|socket|timer|path)$/.test(word));
    const now = args.includes('--now');
    const stops = verb === 'stop' || (verb === 'disable' && now);
    if (verb === 'daemon-reload') this.#load();
    for (const unit of units) {
      // As systemd has it: a socket does not start while its daemon runs, and a daemon that requires it goes down with it.
      const daemon = DAEMONS.find((name) => unit.endsWith('.socket') && unit.startsWith(name.replace('.service', '')));
      const starts = verb === 'start' || (verb === 'enable' && now);
      if (daemon && starts && !this.active.has(unit) && this.active.has(daemon))
        throw new Error(`${unit}: ${daemon} holds it`);
      if (daemon && stops) this.active.delete(daemon);
      if (verb === 'enable') this.enabled.add(unit);
      if (verb === 'disable') this.enabled.delete(unit);
      if (daemon && starts) this.#open(unit);
      if (starts || verb === 'restart' || verb === 'reload-or-restart') {
        // After its end and before its start: that is when they can be opened.
        for (const socket of DAEMONS.some((name) => name === unit) ? socketsOf(unit) : []) this.#open(socket);
        this.active.add(unit);
      }
      if (stops) this.active.delete(unit);
    }
    const woken = DAEMONS.filter(
      (name) => stops && units.some((unit) => unit === name || socketsOf(name).includes(unit)),
    ).filter((name) => this.isBusy && socketsOf(name).some((socket) => this.active.has(socket)));
    for (const name of woken) this.#systemctl(['start', name]);
    if (woken.length > 0) return { code: 1, output: `Job for ${woken[0]} canceled.\n` };
    if (verb !== 'show') return { code: 0, output: '' };
    const state = (unit: string) => `Id=${unit}
LoadState=${unit.startsWith('missing') ? 'not-found' : 'loaded'}
UnitFileState=${this.enabled.has(unit) ? 'enabled' : 'disabled'}
ActiveState=${this.active.has(unit) ? 'active' : 'inactive'}
SubState=${this.crashing.has(unit) ? 'auto-restart' : 'running'}
NRestarts=0
${this.#accessOf(unit)}`;
    return { code: 0, output: units.map(state).join('\n') };
  }

  #accessOf(unit: string): string {
    const value = this.#loaded.get(unit);
    const keys = ['SocketUser', 'SocketGroup', 'SocketMode'];
    return value
      ? [`Listen=${value('ListenStream')} (Stream)`, ...keys.map((key) => `${key}=${value(key)}`), ''].join('\n')
      : '';
  }

  async apply(options: { dryRun?: boolean; takeOver?: boolean } = {}): Promise<void> {
    this.lines.length = 0;
    this.ran.length = 0;
    const config: Config = parseConfig(`[params]\n${this.config}`);
    await apply({
      host: this.host,
      config,
      configHash: md5(this.config),
      facts: this.facts,
      rendered: renderRelay(config, this.facts),
      now: new Date('2026-01-02T03:04:05Z'),
      dryRun: options.dryRun ?? false,
      takeOver: options.takeOver ?? false,
      print: (line) => void this.lines.push(line),
      note: (line) => void this.lines.push(line),
    });
  }

  async undo(all = false): Promise<void> {
    const say = (line: string) => void this.lines.push(line);
    await undo(this.host, say, say, all);
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(this.root + path), { recursive: true });
    writeFileSync(this.root + path, text);
  }

  read(path: string): string {
    return readFileSync(this.root + path, 'utf8');
  }

  /** Every file and link below /etc with its contents, and the directories. */
  etc(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const entry of readdirSync(`${this.root}/etc`, { recursive: true, withFileTypes: true })) {
      const path = `${entry.parentPath}/${entry.name}`;
      // What init and the certificate leave is nobody's to undo.
      if (path.includes('/etc/chatmail')) continue;
      if (entry.isSymbolicLink()) found[path] = `-> ${readlinkSync(path)}`;
      else found[path] = entry.isDirectory() ? 'directory' : readFileSync(path, 'utf8');
    }
    return found;
  }

  get output(): string {
    return this.lines.join('\n');
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}
