/**
 * The commands of chatmailctl, by name. Each is loaded when it is called, so that none pays for another.
 */

import type { Command } from '../command.ts';

export interface CommandEntry {
  /** One line for the list that `chatmailctl --help` prints. */
  readonly summary: string;
  load(): Promise<Command>;
}

export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  account: {
    summary: 'list, show, block, unblock or delete accounts',
    load: async () => (await import('./account.ts')).account,
  },
  adopt: {
    summary: 'prepare to take over a relay that cmdeploy has set up here',
    load: async () => (await import('./adopt.ts')).adopt,
  },
  apply: {
    summary: 'make this machine the relay that chatmail.ini describes, or undo that',
    load: async () => (await import('./apply.ts')).apply,
  },
  backup: {
    summary: 'write accounts, keys and configuration into a file',
    load: async () => (await import('./backup.ts')).backup,
  },
  completion: {
    summary: 'a script that makes the shell complete commands',
    load: async () => (await import('./completion.ts')).completion,
  },
  demo: {
    summary: 'a throw-away relay on loopback, shown working with real Delta Chat clients',
    load: async () => (await import('./demo.ts')).demo,
  },
  dns: {
    summary: 'the DNS records the relay needs, and whether they are there',
    load: async () => (await import('./dns.ts')).dns,
  },
  init: {
    summary: 'prepare this machine: chatmail.ini, keys, directories',
    load: async () => (await import('./init.ts')).init,
  },
  new: {
    summary: 'create an account; prints its password, a link and a QR code',
    load: async () => (await import('./new.ts')).newAccount,
  },
  push: {
    summary: 'test push for an account, or say how push is doing',
    load: async () => (await import('./push.ts')).push,
  },
  render: {
    summary: 'show the files apply would write',
    load: async () => (await import('./render.ts')).render,
  },
  restore: {
    summary: 'bring back what backup has written',
    load: async () => (await import('./restore.ts')).restore,
  },
  tls: {
    summary: 'renew the certificate when it is time, and have the servers read a new one',
    load: async () => (await import('./tls.ts')).tls,
  },
  status: {
    summary: 'how the relay is, and what to do about what is wrong',
    load: async () => (await import('./status.ts')).status,
  },
  token: {
    summary: 'invitations, where an account needs one: create, list, revoke',
    load: async () => (await import('./token.ts')).token,
  },
  units: {
    summary: 'install the systemd units of an installation by npm',
    load: async () => (await import('./units.ts')).units,
  },
  version: {
    summary: 'versions of this package, Node, Postfix and Dovecot',
    load: async () => (await import('./version.ts')).version,
  },
};
