/**
 * The links we hand out, as a real Delta Chat reads them: what it finds in a link, not what we mean by it.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StdioDeltaChat } from '@deltachat/jsonrpc-client';
import { getRPCServerPath } from '@deltachat/stdio-rpc-server';
import t from 'tap';
import { formatDcaccountUrl, formatDcloginUrl, parseConfig } from '#core';

t.setTimeout(120_000);
const directory = mkdtempSync(join(tmpdir(), 'account-links-'));
const server = spawn(getRPCServerPath({ disableEnvPath: true }), {
  env: { DC_ACCOUNTS_PATH: join(directory, 'accounts') },
  stdio: ['pipe', 'pipe', 'ignore'],
});
const exited = new Promise((resolve) => server.once('exit', resolve));
t.teardown(async () => {
  server.kill('SIGKILL');
  await exited;
  rmSync(directory, { recursive: true });
});
const { rpc } = new StdioDeltaChat(server.stdin, server.stdout, true);
const account = await rpc.addAccount();
const PASSWORD = 'aZ09aZ09aZ09aZ09aZ09aZ';
const configOf = (domain: string) => parseConfig(`[params]\nmail_domain = ${domain}\n`);

t.test('a login', async (t) => {
  for (const [domain, address] of [
    ['203.0.113.7', 'abcdefghi@[203.0.113.7]'],
    ['chat.example.org', 'abcdefghi@chat.example.org'],
    ['_chat.example.org', 'abcdefghi@_chat.example.org'],
  ] as const) {
    const link = formatDcloginUrl(configOf(domain), address, PASSWORD);
    t.match(await rpc.checkQr(account, link), { kind: 'login', address }, link);
  }
});

t.test('an invitation', async (t) => {
  const link = formatDcaccountUrl(configOf('chat.example.org'), 'abcdefghijklmnopqrst_-');
  t.match(await rpc.checkQr(account, link), { kind: 'account', domain: 'chat.example.org' });
  t.match(await rpc.checkQr(account, formatDcaccountUrl(configOf('chat.example.org'), undefined)), { kind: 'account' });
});
