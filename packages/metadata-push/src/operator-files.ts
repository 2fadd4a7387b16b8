/**
 * [io] The small files an operator gives metadata-push: the TURN secret and the list of app versions. Read at start and at
 * SIGHUP. A wrong secret is an error of the configuration; a wrong list costs only the entry, because nothing else needs it.
 */

import { readFileSync, statSync } from 'node:fs';
import { type Config, ConfigError, type Logger } from '#core';
import { parseAppVersions } from './app-versions.ts';
import { MIN_TURN_SECRET_LENGTH } from './turn-credentials.ts';

const MAX_FILE_BYTES = 256 * 1024;

export interface OperatorFiles {
  /** Undefined: credentials come from chatmail-turn's socket. */
  readonly turnSecret: string | undefined;
  /** One line of JSON; undefined: none are served. */
  readonly appVersions: string | undefined;
}

/**
 * Reads the files the configuration names.
 *
 * @throws ConfigError naming `turn_secret_file`
 */
export function readOperatorFiles(
  config: Pick<Config, 'turn_secret_file' | 'appversions_file'>,
  log: Logger,
): OperatorFiles {
  return {
    turnSecret: config.turn_secret_file === '' ? undefined : readTurnSecret(config.turn_secret_file),
    appVersions: config.appversions_file === '' ? undefined : readAppVersions(config.appversions_file, log),
  };
}

function readTurnSecret(path: string): string {
  const unfit = (what: string, cause?: unknown) =>
    new ConfigError(`${path} ${what}`, { key: 'turn_secret_file' }, cause === undefined ? undefined : { cause });
  let secret: string;
  try {
    secret = readSmallFile(path).trim();
  } catch (error) {
    throw unfit(`cannot be read (${codeOf(error)})`, error);
  }
  if (!/^[!-~]+$/.test(secret)) throw unfit('must hold one line of printable characters without blanks');
  if (secret.length < MIN_TURN_SECRET_LENGTH) throw unfit(`must hold at least ${MIN_TURN_SECRET_LENGTH} characters`);
  return secret;
}

function readAppVersions(path: string, log: Logger): string | undefined {
  let text: string;
  try {
    text = readSmallFile(path);
  } catch (error) {
    // The default path need not exist.
    if (codeOf(error) !== 'ENOENT') log.error('appversions_file cannot be read', { reason: codeOf(error) });
    return undefined;
  }
  const parsed = parseAppVersions(text);
  if (parsed.ok) return parsed.line;
  log.error('appversions_file is not served', { reason: parsed.reason });
  return undefined;
}

function readSmallFile(path: string): string {
  if (statSync(path).size > MAX_FILE_BYTES) throw Object.assign(new Error('too large'), { code: 'EFBIG' });
  return readFileSync(path, 'utf8');
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}
