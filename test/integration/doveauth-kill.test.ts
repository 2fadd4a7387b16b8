/**
 * doveauth is killed with SIGKILL before every single step of a creation; what is on disk then must be a complete account
 * or none, and the next login must work.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type Address, parseAddress } from '#core';
import { openAccountStore } from '../../packages/doveauth/src/account-store.ts';

const root = mkdtempSync(join(tmpdir(), 'doveauth-kill-'));
t.teardown(() => rmSync(root, { recursive: true }));
let count = 0;
const newDirectory = () => join(root, `mail${++count}`);
type Assertions = Pick<typeof t, 'equal' | 'same' | 'ok' | 'notOk' | 'match'>;
const ADDRESS = parseAddress('abcdefghi@[127.0.0.1]')!;
const DAY = 20_000 * 86_400;

async function collect(items: AsyncIterable<Address>): Promise<Address[]> {
  const all: Address[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Creates the account in a process that kills itself before a step; resolves with how it ended. */
async function createAndDie(directory: string, step: number): Promise<[code: number | null, signal: string | null]> {
  const fixture = join(import.meta.dirname, 'fixtures/create-and-die.ts');
  const child = spawn(process.execPath, [fixture, directory, ADDRESS.text, String(step)], { stdio: 'inherit' });
  return (await once(child, 'exit')) as [number | null, string | null];
}

/** Lets a creation die before every step there is, and tells how many there are. */
async function killAtEveryStep(t: Assertions, isLeftover: boolean): Promise<number> {
  for (let step = 1; ; step++) {
    const directory = newDirectory();
    const mailbox = join(directory, ADDRESS.text);
    const workshop = join(directory, '.doveauth');
    if (isLeftover) mkdirSync(join(mailbox, 'cur'), { recursive: true });
    const [code, signal] = await createAndDie(directory, step);
    if (code === 0) return step - 1;
    const label = `${isLeftover ? 'leftover, ' : ''}killed before step ${step}`;
    t.equal(signal, 'SIGKILL', label);

    const store = await openAccountStore(directory);
    const before = await store.readPassword(ADDRESS);
    t.same(await collect(store.list()), before === undefined ? [] : [ADDRESS], label);
    if (before !== undefined) t.ok(existsSync(join(mailbox, 'enforceE2EEincoming')), label);
    else if (!isLeftover) t.notOk(existsSync(mailbox), label);

    await store.removeStale();
    t.same(existsSync(workshop) ? readdirSync(workshop) : [], [], label);
    t.equal(await store.create(ADDRESS, 'next', DAY), before === undefined, label);
    t.equal(await store.readPassword(ADDRESS), before ?? 'next', label);
    t.match(readdirSync(mailbox).sort(), /enforceE2EEincoming,password$/, label);
  }
}

t.test('a complete account or none, and the next login works', async (t) => {
  const steps = await Promise.all([killAtEveryStep(t, false), killAtEveryStep(t, true)]);
  t.ok(steps[0] > 9, 'all steps of a new directory');
  t.ok(steps[1] > steps[0], 'and more to adopt one');
});
