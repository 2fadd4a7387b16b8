/**
 * [io] The system accounts a demo runs as. It creates none: mail belongs to `vmail` where a relay is installed, else to
 * `nobody`, and is gone with the demo.
 */

import { readFile } from 'node:fs/promises';
import { DemoError } from './demo-error.ts';

/** An account of the host, by name and number. */
export interface SystemAccount {
  readonly user: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
}

/** Looks up a user with its primary group; `undefined` when there is none. */
export async function findAccount(user: string): Promise<SystemAccount | undefined> {
  const [passwd, groups] = await Promise.all([readFile('/etc/passwd', 'utf8'), readFile('/etc/group', 'utf8')]);
  const entry = fieldsOf(passwd, (fields) => fields[0] === user);
  const group = entry && fieldsOf(groups, (fields) => fields[2] === entry[3]);
  return entry && group ? { user, group: group[0]!, uid: Number(entry[2]), gid: Number(entry[3]) } : undefined;
}

/** The account that owns the demo's mail. */
export async function findMailUser(): Promise<SystemAccount> {
  const account = (await findAccount('vmail')) ?? (await findAccount('nobody'));
  if (!account) throw new DemoError('host', 'this machine has neither a user vmail nor a user nobody to own the mail.');
  return account;
}

/** The account Postfix runs as. */
export async function findPostfixUser(): Promise<SystemAccount> {
  const account = await findAccount('postfix');
  if (!account) throw new DemoError('host', 'Postfix is installed, but there is no user postfix.');
  return account;
}

function fieldsOf(table: string, wanted: (fields: string[]) => boolean): string[] | undefined {
  return table
    .split('\n')
    .map((line) => line.split(':'))
    .find(wanted);
}
