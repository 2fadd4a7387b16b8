/** [io] What a relay needs on disk before its programs start: rendered files, a certificate, chatmail.ini. */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { RelayLayout, RenderedFiles } from '../layout.ts';
import { run } from '../run.ts';
import { DemoError } from './demo-error.ts';

/** Writes rendered files, and the directories they lie in. */
export async function writeFiles(files: RenderedFiles): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
}

/** Makes a certificate for an IP address, signed by itself. */
export async function makeCertificate(paths: RelayLayout['certificate'], address: string): Promise<void> {
  await mkdir(dirname(paths.key), { recursive: true });
  const result = await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'],
    ...['-subj', `/CN=${address}`, '-addext', `subjectAltName=IP:${address}`],
    ...['-keyout', paths.key, '-out', paths.chain],
  ]);
  if (result.code !== 0) throw new DemoError('start', `openssl could not make a certificate: ${result.output.trim()}`);
  await chmod(paths.key, 0o600);
}

/** chatmail.ini of a relay that lives as long as this program; the host's load is no reason to refuse accounts. */
export function demoIni(layout: RelayLayout, stateDirectory: string, gatewayUrl: string): string {
  return `[params]
mail_domain = ${layout.addressDomain.replace(/^\[|\]$/g, '')}
mailboxes_dir = ${layout.directories.mailboxes}
state_dir = ${stateDirectory}
max_message_size = ${layout.limits.messageBytes}
max_mailbox_size = ${layout.limits.mailboxBytes}
push = gateway
push_gateway_url = ${gatewayUrl}
max_load_1m = 10000
min_available_memory = 0
min_free_disk_space = 0
`;
}
