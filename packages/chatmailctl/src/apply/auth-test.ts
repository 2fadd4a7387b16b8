/**
 * [io] Logs in to the relay as somebody new: a throw-away account, made and removed again. Where relays take no new account at
 * the moment it is put on disk as doveauth would, so that Dovecot, its sockets and doveauth are tested all the same.
 */

import { randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { type Config, EXIT_CONFIG, ExitError, PASSWORD_FILE } from '#core';
import { findUser, type Host, makeOwnDirectory, mustRun, writePath } from './host.ts';
import type { Note } from './services.ts';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
/** doveadm(1): the password is wrong, or there is no such user. */
const EX_NOPERM = 77;
/** Dovecot has just been started, its sockets come up one after the other. */
const TRIES = 20;
const PAUSE_MS = 500;

/**
 * Runs `doveadm auth test`.
 *
 * @throws ExitError 78 with what doveadm said
 */
export async function testLogin(host: Host, config: Config, note: Note): Promise<void> {
  const address = `${letters(config.username_max_length)}@${config.addressDomain}`;
  const password = letters(Math.max(config.password_min_length, 20));
  const mailbox = `${config.mailboxes_dir}/${address}`;
  try {
    if (config.registration === 'open') {
      const { code } = await attempt(host, address, password);
      if (code === 0) return;
      note(`warning: new accounts are refused at the moment (${await reasonOfRefusal(host)})`);
    }
    await makeAccount(host, mailbox, password);
    const { code, output } = await attempt(host, address, password);
    if (code === 0) return;
    throw new ExitError(
      EXIT_CONFIG,
      `a throw-away account cannot log in (doveadm auth test): ${output.trim()}; see journalctl -u doveauth -u dovecot`,
    );
  } finally {
    await rm(host.root + mailbox, { recursive: true, force: true });
  }
}

async function attempt(host: Host, address: string, password: string): Promise<{ code: number; output: string }> {
  for (let count = 1; ; count++) {
    const { code, output } = await host.run('doveadm', ['auth', 'test', address, password]);
    if (code === 0 || code === EX_NOPERM || count === TRIES)
      return { code, output: output.replaceAll(password, '...') };
    await host.pause(PAUSE_MS);
  }
}

async function makeAccount(host: Host, mailbox: string, password: string): Promise<void> {
  const owner = await findUser(host, 'vmail');
  if (!owner) throw new ExitError(EXIT_CONFIG, 'there is no user vmail; run chatmailctl init');
  const hash = (await mustRun(host, 'doveadm', ['pw', '-s', 'SHA512-CRYPT', '-p', password])).trim();
  await makeOwnDirectory(host, mailbox, 0o700, owner);
  await writePath(host, `${mailbox}/${PASSWORD_FILE}`, hash, { mode: 0o600, owner });
}

/** As doveauth has just logged it. */
async function reasonOfRefusal(host: Host): Promise<string> {
  const { output } = await host.run('journalctl', ['--unit=doveauth', '--lines=20', '--output=cat', '--no-pager']);
  return [...output.matchAll(/"reason":"([\w-]+)"/g)].at(-1)?.[1] ?? 'see journalctl -u doveauth';
}

function letters(count: number): string {
  return Array.from({ length: count }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}
