/**
 * [io] Collects what this machine's package system knows about its configuration files, and finds those that an operator has
 * changed although no file of ours takes their place.
 */

import { readdir } from 'node:fs/promises';
import { type Host, readText } from './host.ts';
import { isOurs } from './plan.ts';
import { isStock, parseDpkgConffiles, parseUcfHashes, type StockKnowledge } from './stock.ts';

/** Reads the checksums of dpkg and ucf, and Postfix's templates. */
export async function readStockKnowledge(host: Host): Promise<StockKnowledge> {
  const checksums = new Map<string, Set<string>>();
  const pairs = [
    ...parseUcfHashes((await readText(host, '/var/lib/ucf/hashfile')) ?? ''),
    ...parseDpkgConffiles((await readText(host, '/var/lib/dpkg/status')) ?? ''),
  ];
  for (const [path, checksum] of pairs) {
    const known = checksums.get(path) ?? new Set();
    checksums.set(path, known.add(checksum));
  }
  const templates = ['/usr/share/postfix/main.cf.debian', '/usr/share/postfix/main.cf.tls'];
  const mainCf = await Promise.all(templates.map(async (path) => (await readText(host, path)) ?? ''));
  return { checksums, mainCf };
}

/**
 * Dovecot's own settings that would no longer be read, because our dovecot.conf includes nothing: local.conf and changed files
 * of conf.d. None once dovecot.conf is ours.
 */
export async function readLostDovecotFiles(host: Host, knowledge: StockKnowledge): Promise<string[]> {
  const main = await readText(host, '/etc/dovecot/dovecot.conf');
  if (main === undefined || isOurs(main)) return [];
  const names = await readdir(`${host.root}/etc/dovecot/conf.d`).catch(() => []);
  const paths = [
    '/etc/dovecot/local.conf',
    ...names.filter((name) => name.endsWith('.conf')).map((name) => `/etc/dovecot/conf.d/${name}`),
  ];
  const lost: string[] = [];
  for (const path of paths.sort()) {
    const text = await readText(host, path);
    if (text !== undefined && !isStock(path, text, knowledge)) lost.push(path);
  }
  return lost;
}
