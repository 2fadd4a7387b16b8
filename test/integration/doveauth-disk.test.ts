/**
 * doveauth on disks that are not as one would like them: a full one, and one with many accounts. Needs root for the tmpfs.
 */

import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { NO_METRICS, parseAddress, parseConfig } from '#core';
import { openAccountStore } from '../../packages/doveauth/src/account-store.ts';
import { Accounts } from '../../packages/doveauth/src/accounts.ts';
import { DiskInvitationStore } from '../../packages/doveauth/src/invitation-store.ts';
import { run } from './dict-dovecot.ts';

t.setTimeout(120_000);
const directory = mkdtempSync(join(tmpdir(), 'doveauth-disk-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const address = (index: number) => `u${String(index).padStart(8, '0')}@x.org`;
const PASSWORD = Buffer.from('password1');
const COUNT = 200_000;

/** doveauth's core on a mailboxes directory, hashing in no time. */
async function openAccounts(mail: string, log: unknown[][]) {
  const store = await openAccountStore(mail);
  const note = (...line: unknown[]) => void log.push(line);
  const host = { load1: 0, availableMemoryBytes: 2 ** 40, freeDiskBytes: 2 ** 40, isCreationStopped: false };
  return new Accounts(
    {
      hasher: { hash: async () => 'hash', verify: async () => false },
      log: { debug: note, info: note, warn: note, error: note },
      metrics: NO_METRICS,
      now: Date.now,
      uptime: () => performance.now(),
    },
    {
      config: parseConfig(`[params]\nmail_domain = x.org\nmailboxes_dir = ${mail}`),
      store,
      invitations: new DiskInvitationStore(join(directory, 'state')),
      readHost: async () => host,
    },
  );
}

t.test('a full disk: creations wait, accounts are complete or not there, who exists logs in', async (t) => {
  const mail = join(directory, 'full');
  mkdirSync(mail);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'tmpfs', mail]);
  t.teardown(() => run('umount', [mail]));
  const log: unknown[][] = [];
  const accounts = await openAccounts(mail, log);

  const made: string[] = [];
  let refused: string | undefined;
  for (let index = 0; refused === undefined && index < 1000; index++) {
    const { kind } = await accounts.login(address(index), PASSWORD);
    if (kind === 'found') made.push(address(index));
    else refused = address(index);
    if (kind !== 'found') t.equal(kind, 'temporary', 'neither refused nor created');
  }
  t.ok(made.length > 10, 'some fit');
  t.equal(statfsSync(mail).bavail, 0, 'the disk is really full');
  t.match(log.at(-1), ['look-up failed for now', { error: { code: 'ENOSPC' } }]);
  t.notMatch(JSON.stringify(log.map(([message]) => message)), /@/);

  const complete = readdirSync(mail).filter((name) => parseAddress(name));
  t.same(complete.sort(), made, 'what is there is what was reported');
  for (const name of complete) {
    t.same(readdirSync(join(mail, name)).sort(), ['enforceE2EEincoming', 'password'], `${name} is complete`);
  }
  t.same(readdirSync(join(mail, '.doveauth')), [], 'nothing half-made stays');
  t.same(await accounts.login(made[0]!, PASSWORD), { kind: 'found', hash: 'hash' }, 'who exists logs in');
  t.same(await accounts.lookup(refused!), { kind: 'unknown' });

  for (const name of made.splice(5)) rmSync(join(mail, name), { recursive: true });
  t.same(await accounts.login(refused!, PASSWORD), { kind: 'found', hash: 'hash' }, 'room again, and it goes on');
});

t.test('200,000 accounts: look-ups and creations as quick as among none, and a complete list', async (t) => {
  const log: unknown[][] = [];
  // In memory, and with one password file under all its names: on a disk, making them takes 15 s and removing them 45.
  const memory = join(directory, 'memory');
  mkdirSync(memory);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=64m,nr_inodes=1000000,mode=0700', 'tmpfs', memory]);
  t.teardown(() => run('umount', [memory]));
  const password = join(memory, 'password');
  writeFileSync(password, 'hash');
  const openFilled = async (mail: string, count: number) => {
    const accounts = await openAccounts(mail, log);
    for (let index = 0; index < count; index++) {
      mkdirSync(join(mail, address(index)));
      linkSync(password, join(mail, address(index), 'password'));
    }
    return accounts;
  };
  const few = await openFilled(join(memory, 'few'), 500);
  const mail = join(memory, 'many');
  const many = await openFilled(mail, COUNT);

  const msPerLookup = async (accounts: Accounts, count: number) => {
    const begin = performance.now();
    for (let index = 0; index < 1000; index++) await accounts.lookup(address((index * 7919) % count));
    return (performance.now() - begin) / 1000;
  };
  await msPerLookup(few, 500);
  const ratios: number[] = [];
  for (let round = 0; round < 5; round++) ratios.push((await msPerLookup(many, COUNT)) / (await msPerLookup(few, 500)));
  t.ok(
    Math.min(...ratios) < 2,
    `a look-up takes the same (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')} times)`,
  );

  t.match(await many.login('newcomer0@x.org', PASSWORD), { kind: 'found' });
  t.ok(existsSync(join(mail, 'newcomer0@x.org/password')));
  let count = 0;
  for await (const user of many.list()) count += user.endsWith('@x.org') ? 1 : 0;
  t.equal(count, COUNT + 1);
});
