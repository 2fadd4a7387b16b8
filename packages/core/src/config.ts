/**
 * `chatmail.ini`: text in, one frozen and typed {@link Config} out. Property names are the key names of the file, so that
 * a key can be found from either side. Unknown keys are warnings (a newer or older relay may know them), bad values errors.
 */

import { isIpv4 } from './address.ts';
import { CONFIG_KEYS, type ConfigKeys, type KeySpec } from './config-table.ts';
import { parseValue, type ValueTypes } from './config-values.ts';
import { ConfigError } from './errors.ts';
import { type IniEntry, parseIni } from './ini.ts';

type ValueOf<S extends KeySpec> = S extends { choices: readonly (infer C)[] } ? C : ValueTypes[S['type']];
type ActiveKey = { [K in keyof ConfigKeys]: ConfigKeys[K] extends { ignored: string } ? never : K }[keyof ConfigKeys];

/** The configuration: sizes in bytes, ages in days. */
export type Config = { readonly [K in ActiveKey]: ValueOf<ConfigKeys[K]> } & {
  /** The part of our addresses after the `@`: `mail_domain`, in brackets when it is an IPv4 address. */
  readonly addressDomain: string;
  /** True when `mail_domain` is an IPv4 address: self-signed TLS, no DKIM signing, no DNS checks. */
  readonly isIpRelay: boolean;
  /** True when clients cannot check the certificate: an IP relay, or a `mail_domain` that begins with `_` without an external
   * certificate. */
  readonly isSelfSigned: boolean;
  /** What the operator should know about the file: unknown keys, keys that no longer do anything. */
  readonly warnings: readonly string[];
};

/**
 * Parses the text of a configuration file.
 *
 * @param file only named in errors and warnings
 * @throws ConfigError naming file, line and key
 */
export function parseConfig(text: string, file = 'chatmail.ini'): Config {
  const sections = parseIni(text, file);
  const entries = sections.get('params');
  if (!entries) throw new ConfigError('there is no section [params]', { file });

  const warnings: string[] = [];
  for (const name of sections.keys()) {
    if (name !== 'params') warnings.push(`${file}: section [${name}] is not used; all keys belong in [params]`);
  }

  const given = new Map<string, IniEntry>();
  for (const entry of entries) {
    const { key, line } = entry;
    const first = given.get(key);
    if (first) throw new ConfigError(`given twice, first in line ${first.line}; remove one`, { file, line, key });
    given.set(key, entry);
    const spec = specOf(key);
    if (!spec) warnings.push(`${file}:${line}: unknown key '${key}' is ignored${hint(key)}`);
    else if (spec.ignored) warnings.push(`${file}:${line}: key '${key}' has no effect: ${spec.ignored}`);
  }

  const values: Record<string, unknown> = {};
  for (const key of Object.keys(CONFIG_KEYS)) {
    const spec = specOf(key)!;
    if (spec.ignored) continue;
    const entry = given.get(key);
    const value = entry?.value ?? defaultText(spec, values);
    if (value === undefined) throw new ConfigError('is missing; add it to [params]', { file, key });
    values[key] = typedValue(spec, value, { file, line: entry?.line, key });
  }
  const mailDomain = values.mail_domain as string;
  const hasExternalCertificate = (values.tls_external_cert_and_key as readonly string[]).length > 0;
  const config = {
    ...values,
    addressDomain: addressDomainOf(mailDomain),
    isIpRelay: isIpv4(mailDomain),
    isSelfSigned: isIpv4(mailDomain) || (mailDomain.startsWith('_') && !hasExternalCertificate),
    warnings,
  } as unknown as Config;
  checkTogether(config, file, (key) => given.get(key)?.line);
  return Object.freeze(config);
}

/** The keys two configurations give other values to, whether in their file or by default. */
export function differingKeys(one: Config, other: Config): string[] {
  const textOf = (config: Config, key: string) => JSON.stringify((config as unknown as Record<string, unknown>)[key]);
  return Object.keys(CONFIG_KEYS).filter((key) => textOf(one, key) !== textOf(other, key));
}

function specOf(key: string): KeySpec | undefined {
  return Object.hasOwn(CONFIG_KEYS, key) ? CONFIG_KEYS[key as keyof ConfigKeys] : undefined;
}

function defaultText(spec: KeySpec, values: Record<string, unknown>): string | undefined {
  return spec.default === undefined ? undefined : fillIn(spec.default, String(values.mail_domain));
}

/** Puts the domain into the text of a default. */
export function fillIn(defaultText: string, mailDomain: string): string {
  return defaultText
    .replace('{mail_domain}', () => mailDomain)
    .replace('{address_domain}', () => addressDomainOf(mailDomain));
}

function addressDomainOf(mailDomain: string): string {
  return isIpv4(mailDomain) ? `[${mailDomain}]` : mailDomain;
}

function typedValue(
  spec: KeySpec,
  text: string,
  location: { file: string; line: number | undefined; key: string },
): unknown {
  if (spec.choices && !spec.choices.includes(text)) {
    throw new ConfigError(`must be one of ${spec.choices.join(', ')}, not '${text}'`, location);
  }
  const parsed = parseValue(spec.type, text);
  if (!parsed.ok) throw new ConfigError(`must be ${parsed.expected}, not '${text}'`, location);
  return parsed.value;
}

/** Rules that take more than one value. */
function checkTogether(config: Config, file: string, lineOf: (key: string) => number | undefined): void {
  const refuse = (key: keyof ConfigKeys, message: string): never => {
    throw new ConfigError(message, { file, line: lineOf(key), key });
  };
  // RFC 5321 section 4.5.3.1.1: a longer local part could be created and never be mailed.
  if (config.username_max_length > 64) refuse('username_max_length', 'must be at most 64');
  if (config.username_min_length < 1) refuse('username_min_length', 'must be at least 1');
  if (config.username_min_length > config.username_max_length) {
    refuse('username_min_length', `must not exceed username_max_length (${config.username_max_length})`);
  }
  if (config.password_min_length < 1)
    refuse('password_min_length', 'must be at least 1: an empty password is no password');
  if (config.max_user_send_per_minute < 1) refuse('max_user_send_per_minute', 'must be at least 1');
  if (config.max_user_send_burst_size < 1) refuse('max_user_send_burst_size', 'must be at least 1');
  for (const key of ['new_accounts_per_minute', 'new_accounts_per_minute_per_client'] as const) {
    if (config[key] < 1) refuse(key, 'must be at least 1; to take no new accounts, set registration = closed');
  }
  for (const key of ['max_smtp_connections', 'max_imap_connections'] as const) {
    if (config[key] < 1) refuse(key, 'must be at least 1; there is no value for no limit');
  }
  if (config.max_message_size < 1) refuse('max_message_size', 'must be at least 1: nothing could be sent');
  // Expiry and Dovecot empty a mailbox down to this: a slip of the pen here would cost everybody their mail.
  if (config.max_mailbox_size < config.max_message_size) {
    refuse(
      'max_mailbox_size',
      `must be at least max_message_size (${config.max_message_size}), or a message of that size fits nowhere; ` +
        `500M is usual, 1T is as good as no limit, and 0 is not`,
    );
  }
  if (config.mailboxes_dir === '') refuse('mailboxes_dir', 'must be an absolute path');
  if (config.state_dir === '') refuse('state_dir', 'must be an absolute path');
  if (config.acme_directory_url === '' && !config.isSelfSigned && config.tls_external_cert_and_key.length === 0) {
    refuse('acme_directory_url', 'must name an authority; to bring a certificate, set tls_external_cert_and_key');
  }
  if (config.tls_external_cert_and_key.length !== 0 && config.tls_external_cert_and_key.length !== 2) {
    refuse('tls_external_cert_and_key', 'must be two paths: certificate and key');
  }
}

/** The nearest known key, when it is near enough to be what was meant. */
function hint(unknown: string): string {
  let best = '';
  let bestDistance = 4;
  for (const known of Object.keys(CONFIG_KEYS)) {
    const distance = editDistance(unknown.slice(0, 80), known);
    if (distance < bestDistance) [best, bestDistance] = [known, distance];
  }
  return best === '' ? '' : `; did you mean '${best}'?`;
}

/** Levenshtein distance, by rows. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (a[i] === b[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
