/**
 * [io] Remembers what `adopt` has allowed, and tells `apply` about it.
 */

import { hash } from 'node:crypto';
import { type Host, readText, writePath } from '../apply/host.ts';
import { HEADER, type RenderedFile } from '../layout.ts';
import type { Adoption } from './inherited.ts';

const ADOPTION = '/var/lib/chatmail/adopted.json';

/** The adoption of this machine; undefined when it is none that took over another relay. */
export async function readAdoption(host: Host): Promise<Adoption | undefined> {
  const text = await readText(host, ADOPTION);
  return text === undefined ? undefined : (JSON.parse(text) as Adoption);
}

/** Keeps an adoption for apply. */
export async function writeAdoption(host: Host, adoption: Adoption): Promise<void> {
  await writePath(host, ADOPTION, `${JSON.stringify(adoption, undefined, 1)}\n`, { mode: 0o644 });
}

/** Whether a file is as it was when it was adopted. */
export function isAdopted(adoption: Adoption | undefined, path: string, text: string): boolean {
  return adoption !== undefined && Object.hasOwn(adoption.files, path) && adoption.files[path] === hash('sha256', text);
}

/** Files on top of the rendered ones: an nginx.conf as Debian's, where the relay before had one that has no room for ours. */
export function adoptedFiles(adoption: Adoption | undefined): RenderedFile[] {
  if (!adoption?.needsNginxConf) return [];
  return [{ path: '/etc/nginx/nginx.conf', mode: 0o644, service: 'nginx', text: NGINX_CONF }];
}

const NGINX_CONF = `# ${HEADER}
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log syslog:server=unix:/dev/log alert;
include /etc/nginx/modules-enabled/*.conf;

events {
  worker_connections 4096;
}

http {
  sendfile on;
  tcp_nopush on;
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  ssl_protocols TLSv1.2 TLSv1.3;
  access_log off;
  gzip on;
  include /etc/nginx/conf.d/*.conf;
}
`;
