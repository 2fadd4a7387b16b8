/**
 * What a relay of the Python and Rust stack (chatmail/relay, cmdeploy) has on its machine, by name, and what becomes of it: its units make
 * way for ours, its files for rendered ones, and everything else stays. The names are those of cmdeploy, of several years.
 */

/** Where cmdeploy puts the configuration. */
export const INHERITED_CONFIG = '/usr/local/lib/chatmaild/chatmail.ini';

/** Unit files that would hide the packaged ones of ours with the same name, or run what ours do. */
export const REPLACED_UNITS = [
  'chatmail-expire.service',
  'chatmail-expire.timer',
  'chatmail-fsreport.service',
  'chatmail-fsreport.timer',
  'chatmail-metadata.service',
  'doveauth-dictproxy.service',
  'doveauth.service',
  'echobot.service',
  'filtermail-incoming.service',
  'filtermail-transport.service',
  'filtermail.service',
  'lastlogin.service',
] as const;

/** Units whose work is done by others now; their files stay. */
export const STOPPED_UNITS = [
  'acmetool-reconcile.service',
  'acmetool-reconcile.timer',
  'acmetool-redirector.service',
  'fcgiwrap.service',
  'fcgiwrap.socket',
  'opendkim.service',
  'tls-cert-reload.path',
  'tls-cert-reload.service',
] as const;

/** The iroh relay of webxdc's realtime channels; cmdeploy has it unless chatmail.ini names another. */
export const IROH_UNIT = 'iroh-relay.service';

/** Units that go on as they are. */
export const KEPT_UNITS = [IROH_UNIT, 'mtail.service', 'turnserver.service', 'unbound.service'] as const;

/** Configuration that rendered files replace. */
export const REPLACED_FILES = [
  '/etc/dovecot/dovecot.conf',
  '/etc/dovecot/push_notification.lua',
  '/etc/nginx/nginx.conf',
  '/etc/postfix/main.cf',
  '/etc/postfix/master.cf',
] as const;

/** What `adopt` has allowed `apply` to do. */
export interface Adoption {
  readonly version: 1;
  /** Files that may be replaced or removed, with the SHA-256 they had then: who edits them afterwards is asked again. */
  readonly files: Readonly<Record<string, string>>;
  /** SHA-256 of the chatmail.ini whose settings are in use: what differs since is the operator's choice. */
  readonly configHash: string;
  /** Its nginx.conf includes no conf.d, where our site is. */
  readonly needsNginxConf: boolean;
}

const REPLACED_UNIT_PATHS = REPLACED_UNITS.map((unit) => `/etc/systemd/system/${unit}`);

/** Paths of unit files, of those in an adoption. */
export function replacedUnitPaths(adoption: Adoption): string[] {
  return REPLACED_UNIT_PATHS.filter((path) => Object.hasOwn(adoption.files, path));
}

/** Whether cmdeploy has a unit file of that name. */
export function isUnitOfCmdeploy(path: string): boolean {
  return REPLACED_UNIT_PATHS.includes(path);
}

/**
 * The chatmail.ini of the machine out of one that lay on the computer that deployed it: paths are those of this machine, and everything
 * else is as it was.
 *
 * @param found what of the machine decides: its pages, where its mail is, and the URL of its iroh relay
 */
export function adoptedConfig(
  text: string,
  found: {
    readonly webPages: string | undefined;
    readonly mailboxes: string | undefined;
    readonly irohRelay: string | undefined;
  },
): string {
  let adopted = text;
  if (found.webPages !== undefined) adopted = withKey(adopted, 'www_folder', found.webPages);
  if (found.mailboxes !== undefined) adopted = withKey(adopted, 'mailboxes_dir', found.mailboxes);
  // Given, but empty, it meant none there too.
  if (found.irohRelay !== undefined && lineOf(text, 'iroh_relay') === -1)
    adopted = withKey(adopted, 'iroh_relay', found.irohRelay);
  return adopted;
}

/** Where in the text a key is given; -1: nowhere. */
function lineOf(text: string, key: string): number {
  return text.split('\n').findIndex((line) => new RegExp(`^${key}\\s*[=:]`).test(line));
}

/** Sets a key in the section [params], in place of what it was. */
function withKey(text: string, key: string, value: string): string {
  const lines = text.split('\n');
  const at = lineOf(text, key);
  if (at !== -1) {
    let end = at + 1;
    while (end < lines.length && /^\s+\S/.test(lines[end]!)) end++;
    lines.splice(at, end - at, `${key} = ${value}`);
    return lines.join('\n');
  }
  const section = lines.findIndex((line) => /^\s*\[params\]/.test(line));
  lines.splice(section + 1, 0, `${key} = ${value}`);
  return lines.join('\n');
}

/** A line of unit names that reads well. */
export function listed(names: readonly string[]): string {
  return names.join(', ') || 'none';
}
