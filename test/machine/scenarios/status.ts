/**
 * What `chatmailctl status` is for: one look says which part is not well, also when systemd calls it running, and `--probe` uses
 * the relay as a client does without leaving anybody behind.
 */

import assert from 'node:assert/strict';
import type { RelayMachine } from '../relay-machine.ts';

interface Answer {
  readonly ok: boolean;
  readonly checks: readonly { name: string; state: 'ok' | 'warn' | 'fail'; text: string; fix?: string }[];
  readonly probe?: readonly { name: string; ms: number; trouble?: string }[];
}

export async function statusTells(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  await machine.becomesGreen();
  const mailboxes = 'ls /home/vmail/mail';
  const before = await container.run(mailboxes);
  const well = await ask(machine, '--probe');
  assert.equal(well.ok, true, JSON.stringify(well));
  assert.deepEqual(
    well.checks.filter(({ state }) => state !== 'ok').map(({ name, text }) => `${name}: ${text}`),
    [],
  );
  assert.equal(well.probe?.length, 7);
  for (const { name, ms } of well.probe ?? []) machine.figures.set(`probe, ${name}`, `${ms} ms`);
  assert.equal(await container.run(mailboxes), before, 'the account of the probe is gone');

  for (const daemon of ['filtermail', 'doveauth', 'metadata-push']) {
    await container.run(`systemctl kill --signal=STOP ${daemon}`);
    try {
      const { ok, checks } = await ask(machine);
      const name = daemon === 'metadata-push' ? 'push' : daemon;
      assert.equal(ok, false, `${daemon} hangs`);
      assert.ok(
        checks.some(
          (check) => check.name === name && check.state === 'fail' && check.fix?.includes(`restart ${daemon}`),
        ),
        `${daemon} hangs: ${JSON.stringify(checks)}`,
      );
    } finally {
      await container.run(`systemctl kill --signal=CONT ${daemon}`);
    }
  }

  await container.run('systemctl disable --quiet filtermail-incoming.socket chatmail-expire.timer');
  try {
    const { ok, checks } = await ask(machine);
    assert.equal(ok, true, 'all still runs');
    const warned = checks.filter(({ state }) => state === 'warn').map(({ name }) => name);
    assert.deepEqual(warned, ['filtermail', 'timers'], 'but not after a reboot');
  } finally {
    await container.run('systemctl enable --quiet filtermail-incoming.socket chatmail-expire.timer');
  }
  await machine.becomesGreen();
}

async function ask({ container }: RelayMachine, ...words: string[]): Promise<Answer> {
  const { stdout, stderr } = await container.attempt(`chatmailctl status --json ${words.join(' ')}`);
  assert.equal(stderr, '');
  return JSON.parse(stdout) as Answer;
}
