/**
 * Mail between relays, on their real ports and through real DNS look-ups: starts relays.ts in a network and a mount namespace
 * of its own, where nothing else is and nothing gets out. Needs root.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { aptInstall } from './debian13.ts';

await ensureDependencies((line) => process.stderr.write(`${line}\n`));
if (!existsSync('/sbin/ip')) await aptInstall('iproute2');
if (!existsSync('/etc/ssl/certs/ca-certificates.crt')) await aptInstall('ca-certificates');

const script = join(import.meta.dirname, 'relays.ts');
const test = spawn('unshare', ['--net', '--mount', process.execPath, ...process.execArgv, script], {
  stdio: 'inherit',
});
const [code] = await once(test, 'exit');
process.exitCode = code ?? 1;
