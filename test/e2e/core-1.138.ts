/**
 * [io] For tests: the Delta Chat core that phones have, which takes a device token. Only its C interface does
 * (dc_accounts_set_push_device_token; JSON-RPC has get_push_state alone), and the only build of that in the npm registry is the core
 * 1.138 of April 2024 inside the addon deltachat-node. It is fetched once into a cache.
 */

import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import type { Credentials } from '../../packages/chatmailctl/src/demo/relay.ts';
import type { RelayLayout } from '../../packages/chatmailctl/src/layout.ts';

const run = promisify(execFile);

const PACKAGE = 'deltachat-node@1.138.0';
const SHA512 = '0eH+GmJmQnxqfcoV9nLcfbiKeyaaOpWIHZ5ex/jql8jxoiKmWqsM4zbM2iLJouqPvtv10Ek1GRVG9xcS8aESoA==';
const ADDON = 'package/node/prebuilds/linux-x64/node.napi.node';

/** The path of the library, or undefined on a machine it was not built for. */
export async function fetchCore(): Promise<string | undefined> {
  if (process.arch !== 'x64') return undefined;
  const cache = join(process.env.XDG_CACHE_HOME ?? '/var/cache', 'chatmail-sidecars-test');
  const library = join(cache, `${PACKAGE}.node`);
  if (existsSync(library)) return library;
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, 'core-'));
  try {
    const { stdout } = await run('npm', ['pack', PACKAGE, '--silent', '--pack-destination', directory]);
    const archive = join(directory, stdout.trim());
    const hash = createHash('sha512')
      .update(await readFile(archive))
      .digest('base64');
    if (hash !== SHA512) throw new Error(`${PACKAGE} is not what it was`);
    await run('tar', ['-xzf', archive, '-C', directory, ADDON]);
    await rename(join(directory, ADDON), library);
  } finally {
    await rm(directory, { recursive: true });
  }
  return library;
}

/** A core in a process of its own. */
export interface PushedCore {
  /** Resolves when the core says that its server will push: DC_PUSH_CONNECTED. Rejects with what it said when it ends before. */
  readonly connected: Promise<void>;
  stop(): void;
}

/** Logs in and gives the core a device token, as the app of a phone does at its start. */
export function startCore(
  library: string,
  directory: string,
  layout: RelayLayout,
  { user, password }: Credentials,
  token: string,
  guard: Guard,
): PushedCore {
  const settings = {
    addr: user,
    mail_pw: password,
    mail_server: layout.listenAddress,
    mail_port: layout.ports.imaps,
    // TLS from the start, any certificate.
    mail_security: 1,
    imap_certificate_checks: 3,
    send_server: layout.listenAddress,
    send_port: layout.ports.submissions,
    send_security: 1,
    smtp_certificate_checks: 3,
  };
  const program = join(import.meta.dirname, 'core-process.ts');
  const args = ['--experimental-ffi', '--no-warnings', program, library, directory, token, JSON.stringify(settings)];
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  guard.started(child.pid!);
  let output = '';
  const connected = new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (/^connected$/m.test(output)) resolve();
      });
    }
    child.on('close', () => reject(new Error(`the core ended: ${output}`)));
  });
  // It may end later, when nobody waits for this any more.
  connected.catch(() => {});
  return { connected, stop: () => void child.kill('SIGKILL') };
}
