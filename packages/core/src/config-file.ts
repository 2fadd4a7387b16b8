/**
 * [io] Finds and reads `chatmail.ini`.
 */

import { existsSync, readFileSync } from 'node:fs';
import { type Config, parseConfig } from './config.ts';
import { ConfigError } from './errors.ts';

/** Where the file is looked for, in this order; the second is where existing relays have it. */
export const CONFIG_PATHS = ['/etc/chatmail/chatmail.ini', '/usr/local/lib/chatmaild/chatmail.ini'] as const;

/** The file {@link loadConfig} reads, or would read first when there is none yet. */
export function findConfigFile(path?: string): string {
  return path ?? (process.env.CHATMAIL_INI || (CONFIG_PATHS.find((file) => existsSync(file)) ?? CONFIG_PATHS[0]));
}

/**
 * Reads the configuration from `path`, else from `$CHATMAIL_INI`, else from the first default place that exists.
 *
 * @throws ConfigError when there is no readable file, or something in it is wrong
 */
export function loadConfig(path?: string): Config {
  const named = path ?? process.env.CHATMAIL_INI;
  const candidates = named ? [named] : CONFIG_PATHS;
  for (const file of candidates) {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT' && !named) continue;
      throw new ConfigError(`cannot be read (${code})`, { file }, { cause: error });
    }
    return parseConfig(text, file);
  }
  throw new ConfigError(`no configuration found: create ${CONFIG_PATHS[0]} or name one with --config FILE`);
}
