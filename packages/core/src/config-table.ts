/**
 * Every key of `chatmail.ini`, once: type, default, help. The reader, the sample file and chatmail.ini(5) come from this
 * table. Names, units and defaults of the first three groups are those of existing relays, so that their file works unchanged; only
 * iroh_relay has another default, since its service is not ours to start (chatmailctl adopt writes the old one down).
 */

import type { ValueType } from './config-values.ts';

export interface KeySpec {
  readonly type: ValueType;
  /** The default as it would stand in the file; `undefined`: the key must be given. `{mail_domain}` stands for that value,
   * `{address_domain}` for the part of our addresses after the `@`. */
  readonly default: string | undefined;
  /** The values allowed, where only some are. */
  readonly choices?: readonly string[];
  /** Shown in the sample file and the manual page. */
  readonly help: string;
  /** Accepted because existing files have it, but nothing here reads it; says why. */
  readonly ignored?: string;
}

function key<const T extends ValueType>(type: T, defaultText: string | undefined, help: string) {
  return { type, default: defaultText, help } as const;
}

function choice<const C extends string>(defaultText: C, choices: readonly C[], help: string) {
  return { type: 'text', default: defaultText, choices, help } as const;
}

function ignored<const T extends ValueType>(type: T, defaultText: string, reason: string) {
  return { type, default: defaultText, help: reason, ignored: reason } as const;
}

const NO_SECOND_HOP = 'filtermail is a milter: there is no second SMTP hop and no port for one';

export const CONFIG_GROUPS = {
  domain: {
    mail_domain: key('domain', undefined, 'The DNS name of the relay, or its IPv4 address for a relay without a name.'),
  },
  accounts: {
    username_min_length: key('integer', '9', 'Shortest local part of a new account, characters.'),
    username_max_length: key('integer', '9', 'Longest local part of a new account, characters.'),
    password_min_length: key('integer', '9', 'Shortest password of a new account, bytes.'),
    max_user_send_per_minute: key('integer', '60', 'Messages an account may send per minute.'),
    max_user_send_burst_size: key('integer', '10', 'Messages an account may send at once before that rate counts.'),
    max_mailbox_size: key('size', '500M', 'Quota of an account, at least max_message_size.'),
    max_message_size: key('size', '31457280', 'Largest message accepted.'),
    delete_mails_after: key('days', '20', 'Days after which a message is deleted, read or not.'),
    delete_large_after: key(
      'days',
      '7',
      'Days after which a message over 200,000 bytes is deleted, once any client has opened the mailbox.',
    ),
    delete_inactive_users_after: key('days', '90', 'Days without a login after which an account is deleted.'),
    max_load_1m: key('number', '5', 'One-minute load average above which no account is created.'),
    min_available_memory: key('size', '200M', 'Available memory below which no account is created.'),
    min_free_disk_space: key('size', '1G', 'Free disk space below which no account is created.'),
  },
  host: {
    mailboxes_dir: key('path', '/home/vmail/mail/{address_domain}', 'The directory of all accounts.'),
    disable_ipv6: key('boolean', 'false', 'Listen and send over IPv4 only.'),
    max_imap_connections: key('integer', '10000', 'IMAP connections served at once.'),
    max_smtp_connections: key('integer', '1000', 'SMTP connections served at once, on each port.'),
    imap_compress: key('boolean', 'false', 'Offer IMAP COMPRESS. Compressed sessions cannot hibernate.'),
    imap_rawlog: key('boolean', 'false', 'Record IMAP sessions in the mailbox directories, for debugging only.'),
    acme_email: key('text', '', 'Contact address given to the certificate authority.'),
    acme_directory_url: key(
      'url',
      'https://acme-v02.api.letsencrypt.org/directory',
      'The certificate authority: the directory of its ACME service. Using it means to agree to its terms.',
    ),
    tls_external_cert_and_key: key(
      'words',
      '',
      'Two paths, certificate chain and key, of a certificate managed elsewhere.',
    ),
    turn_socket_path: key(
      'path',
      '/run/chatmail-turn/turn.socket',
      'Socket of chatmail-turn, which hands out TURN credentials.',
    ),
    turn_secret_file: key(
      'path',
      '',
      'Instead of that socket: a file with the secret shared with a TURN server on port 3478 of mail_domain (coturn: static-auth-secret).',
    ),
    iroh_relay: key(
      'url',
      '',
      'The iroh relay clients are told to use for realtime channels; empty: none, they take those built into them. With https:// and mail_domain, nginx passes it on to an iroh-relay on 127.0.0.1:3340.',
    ),
    www_folder: key('text', '', 'Directory of web pages to serve instead of the built-in ones.'),
    privacy_postal: key('text', '', 'Postal address shown on the privacy page.'),
    privacy_mail: key(
      'text',
      '',
      'Mail address shown on the privacy page, and to clients as the contact of the operator.',
    ),
    privacy_pdo: key('text', '', 'Data protection officer shown on the privacy page.'),
    privacy_supervisor: key('text', '', 'Supervisory authority shown on the privacy page.'),
  },
  sidecars: {
    state_dir: key('path', '/var/lib/chatmail/state', 'Where device tokens and queued pushes are kept.'),
    registration: choice(
      'open',
      ['open', 'closed', 'token'],
      'Who may create an account: anyone, nobody, holders of an invitation token.',
    ),
    new_accounts_per_minute: key(
      'integer',
      '600',
      'Names and passwords the web page /new hands out per minute, to all.',
    ),
    new_accounts_per_minute_per_client: key(
      'integer',
      '30',
      'Names and passwords the web page /new hands out per minute to one IPv4 address or IPv6 /64 network.',
    ),
    appversions_file: key(
      'path',
      '/etc/chatmail/appversions.json',
      'JSON list of app versions clients are told; no such file: none.',
    ),
    push: choice('gateway', ['gateway', 'direct'], 'Pushes go through a gateway, or straight to the providers.'),
    push_gateway_url: key('url', 'https://notifications.delta.chat/notify', 'The push gateway.'),
    apns_key: key(
      'path',
      '',
      'For push = direct and push-gateway: the .p8 key of Apple push notifications. Goes with apns_key_id and apns_team_id.',
    ),
    apns_key_id: key('text', '', 'The ID of that key, 10 characters.'),
    apns_team_id: key('text', '', 'The ID of the Apple developer team, 10 characters.'),
    apns_topic: key('text', '', 'The bundle ID of the app that Apple push notifications are for.'),
    apns_certificate: key(
      'path',
      '',
      'Instead of apns_key: a certificate of Apple push notifications with its key, PEM or PKCS #12 (.p12).',
    ),
    apns_certificate_password: key('text', '', 'The password of that file, if it has one.'),
    fcm_service_account: key(
      'path',
      '',
      'For push = direct and push-gateway: the JSON key file of the Google service account that may send through FCM.',
    ),
    vapid_key: key(
      'path',
      '',
      'For push = direct and push-gateway: the P-256 private key Web Push is signed with, PEM. Make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256',
    ),
    push_openpgp_keys: key(
      'path',
      '',
      'For push = direct and push-gateway: the OpenPGP private keys clients encrypt device tokens to, armored, without passphrase, newest first.',
    ),
    push_endpoints: key(
      'words',
      '',
      "For tests: other addresses than the push services' own, as apns=https://..., apns-sandbox=..., fcm=..., ubports=....",
    ),
    outgoing_headers: choice(
      'minimal',
      ['minimal', 'compat'],
      'Header fields outgoing mail keeps, whoever gets it: those needed (no display name, no list of recipients), or all but the known leaks.',
    ),
    dkim_key: key(
      'path',
      '/etc/dkimkeys/opendkim.private',
      'The private DKIM key: an RSA key in PEM, and after it, if wanted, an Ed25519 key as a second PEM block.',
    ),
    dkim_selector: key('text', 'opendkim', 'The DKIM selector; that of an Ed25519 key has -ed25519 behind it.'),
    dns_servers: key('words', '', "DNS servers to ask, as address or address:port; empty: the system's."),
    journal_retention_days: key(
      'integer',
      '3',
      "Days the machine's journal is kept, all of it; 0 leaves that to the machine.",
    ),
    expire_max_accounts_percent: key(
      'percent',
      '25',
      'An expiry run that would delete more of all accounts than this stops instead.',
    ),
  },
  inherited: {
    passdb_path: ignored(
      'path',
      '/home/vmail/passdb.sqlite',
      'accounts are directories; the database was given up long ago',
    ),
    mtail_address: ignored('text', '', "metrics come from each daemon's own metrics listener"),
    filtermail_smtp_port: ignored('port', '10080', NO_SECOND_HOP),
    filtermail_smtp_port_incoming: ignored('port', '10081', NO_SECOND_HOP),
    filtermail_http_port_incoming: ignored('port', '10082', NO_SECOND_HOP),
    filtermail_lmtp_port_transport: ignored('port', '10083', 'Postfix delivers to other servers itself'),
    postfix_reinject_port: ignored('port', '10025', NO_SECOND_HOP),
    postfix_reinject_port_incoming: ignored('port', '10026', NO_SECOND_HOP),
  },
} as const satisfies Record<string, Record<string, KeySpec>>;

type Groups = typeof CONFIG_GROUPS;

/** All keys in one object type. */
export type ConfigKeys = Groups['domain'] &
  Groups['accounts'] &
  Groups['host'] &
  Groups['sidecars'] &
  Groups['inherited'];

/** All keys, in the order of the sample file. */
export const CONFIG_KEYS: ConfigKeys = Object.assign({}, ...Object.values(CONFIG_GROUPS));
