/**
 * Postfix's part of a relay: main.cf, master.cf and their lookup tables (postconf(5), master(5); checked with 3.7).
 * Mail is local when its domain is ours and goes to Dovecot over LMTP; nothing is relayed for strangers. The filters are
 * milters on the network-facing services only, and their failure is always a 451: no default ever lets mail through.
 */

import { HEADER as HEADER_TEXT, type RelayLayout, type RenderedFiles } from '../layout.ts';
import { renderPostfixLog } from './log.ts';
import { AUTHORITIES } from './tls.ts';

const HEADER = `# ${HEADER_TEXT}\n`;

/** Renders main.cf, master.cf and their tables into `directories.postfixConfig`. */
export function renderPostfix(layout: RelayLayout): RenderedFiles {
  const config = layout.directories.postfixConfig;
  return {
    ...renderPostfixLog(layout),
    [`${config}/main.cf`]: HEADER + mainCf(layout),
    [`${config}/master.cf`]: HEADER + masterCf(layout),
    // Every address belongs to the login of the same name and to no other.
    [`${config}/sender_login`]: `${HEADER}/^(.*)$/ $1\n`,
    [`${config}/submission_headers`]: `${HEADER}/^Received:/ IGNORE\n`,
    [`${config}/delivery_headers`]: `${HEADER}/^(Received|DKIM-Signature|Authentication-Results):/ IGNORE\n`,
    // A relay without a name, or with a name no authority certifies, has a certificate nobody can verify. nauta.cu, which
    // many have to write to, has no TLS at all; what goes there is encrypted end to end all the same.
    [`${config}/tls_policy`]: `${HEADER}/^\\[/ encrypt\n/^_/ encrypt\n/^nauta\\.cu$/ may\n`,
  };
}

/** A socket as smtpd names it: relative to the queue directory where it lies below, which works in a chroot too. */
function unixSocket(layout: RelayLayout, path: string): string {
  const queue = `${layout.directories.postfixQueue}/`;
  return path.startsWith(queue) ? path.slice(queue.length) : path;
}

function mainCf(layout: RelayLayout): string {
  const { directories, limits, sockets, certificate } = layout;
  const table = (name: string) => `regexp:${directories.postfixConfig}/${name}`;
  const literal = /^\[(\d+\.\d+\.\d+\.\d+)\]$/.exec(layout.addressDomain)?.[1];
  const milter = (path: string | undefined) => (path ? `unix:${unixSocket(layout, path)}` : '');
  // Other servers take bounces only with a signature; a relay without a name has none to give.
  const signsBounces = sockets.sign !== undefined && !layout.addressDomain.startsWith('[');
  return settings([
    ['compatibility_level', '3.6'],
    ['queue_directory', directories.postfixQueue],
    ['data_directory', directories.postfixData],
    ['mail_owner', 'postfix'],
    ['setgid_group', 'postdrop'],
    ...(layout.logs.postfix
      ? ([
          ['maillog_file', layout.logs.postfix],
          ['maillog_file_prefixes', layout.logs.postfix],
        ] as const)
      : []),

    '# Names and networks. Nobody is trusted for where they connect from.',
    ['myhostname', layout.hostname],
    ['myorigin', layout.addressDomain],
    ['mydestination', layout.addressDomain],
    // An address literal is local when it is the host's own address, which behind address translation it is not.
    ['proxy_interfaces', literal ?? ''],
    ['mynetworks', ''],
    ['inet_interfaces', layout.listenAddress ?? 'all'],
    ['inet_protocols', layout.ipv4Only ? 'ipv4' : 'all'],
    ['smtpd_peername_lookup', 'no'],
    ['append_dot_mydomain', 'no'],

    '# Local mail is delivered by Dovecot, which alone knows who has an account.',
    ['local_transport', `lmtp:unix:${unixSocket(layout, sockets.lmtp)}`],
    ['local_recipient_maps', ''],
    ['alias_maps', ''],
    ['alias_database', ''],
    ['recipient_delimiter', '+'],
    ['lmtp_header_checks', table('delivery_headers')],

    '# What other servers get.',
    ['relay_domains', ''],
    [
      'default_transport',
      layout.outbound === 'internet' ? 'smtp' : 'error:5.1.2 This relay sends no mail to other servers',
    ],
    ['smtp_tls_security_level', 'verify'],
    ['smtp_tls_mandatory_protocols', '>=TLSv1.2'],
    ['smtp_tls_CAfile', AUTHORITIES],
    ['smtp_tls_policy_maps', table('tls_policy')],
    ['notify_classes', ''],
    // RFC 5321 section 4.1.4: a server without a name says its address.
    ...(literal ? ([['smtp_helo_name', layout.addressDomain]] as const) : []),
    // One slow or dead server must not take all of the 100 processes, and one that comes back is not rushed.
    ['initial_destination_concurrency', '2'],
    ['smtp_destination_concurrency_limit', '10'],
    ['smtp_connect_timeout', '20s'],
    ['smtp_helo_timeout', '60s'],
    // Answers follow each other: the next message to the same server goes through the connection of the last one.
    ['smtp_tls_connection_reuse', 'yes'],
    ['smtp_connection_cache_destinations', 'static:all'],
    ['smtp_connection_cache_time_limit', '10s'],
    ['connection_cache_ttl_limit', '10s'],

    "# smtpd ends when Dovecot cannot be asked for logins; a minute's pause before the next one would outlast Dovecot's restart.",
    ['service_throttle_time', '5s'],

    "# What waits is tried again after as long as it has waited already; the interval of queue runs is this relay's own.",
    ['queue_run_delay', `${queueRunSeconds(layout.hostname)}s`],
    ['minimal_backoff_time', '60s'],
    ['maximal_backoff_time', '30m'],
    ['maximal_queue_lifetime', '2d'],
    ['bounce_queue_lifetime', '2d'],
    ['delay_warning_time', '0'],

    '# TLS of both ways in.',
    ['smtpd_tls_chain_files', `${certificate.key}, ${certificate.chain}`],
    ['smtpd_tls_security_level', 'encrypt'],
    ['smtpd_tls_mandatory_protocols', '>=TLSv1.2'],
    ['smtpd_tls_session_cache_database', ''],
    ['tls_preempt_cipherlist', 'no'],

    '# The filters. Only an explicit verdict of theirs lets mail through.',
    ['outgoing_milter', milter(sockets.outgoing)],
    ['incoming_milter', milter(sockets.incoming)],
    ['smtpd_milters', ''],
    ['non_smtpd_milters', signsBounces ? milter(sockets.sign) : ''],
    ['internal_mail_filter_classes', signsBounces ? 'bounce' : ''],
    ['milter_protocol', '6'],
    ['milter_default_action', 'tempfail'],
    ['milter_connect_timeout', '5s'],
    ['milter_command_timeout', '30s'],
    ['milter_content_timeout', '60s'],

    '# Message content passes as it is: signatures of end-to-end encrypted mail must survive.',
    ['disable_mime_input_processing', 'yes'],
    ['disable_mime_output_conversion', 'yes'],
    ['local_header_rewrite_clients', ''],
    ['smtpd_forbid_bare_newline', 'normalize'],

    '# Who may say what.',
    ['smtpd_sasl_type', 'dovecot'],
    ['smtpd_sasl_path', unixSocket(layout, sockets.sasl)],
    ['smtpd_sasl_auth_enable', 'no'],
    ['smtpd_sasl_security_options', 'noanonymous'],
    ['smtpd_tls_auth_only', 'yes'],
    ['smtpd_sender_login_maps', table('sender_login')],
    ['smtpd_relay_restrictions', 'reject_unauth_destination'],
    ['smtpd_recipient_restrictions', 'reject_non_fqdn_recipient'],
    ['smtpd_helo_required', 'yes'],
    ['disable_vrfy_command', 'yes'],
    // DSN would tell strangers whether an address exists and when its mail arrived; ETRN is for nobody.
    ['smtpd_discard_ehlo_keywords', 'silent-discard, etrn, dsn'],
    ['smtpd_etrn_restrictions', 'reject'],
    ['fast_flush_domains', ''],
    ['strict_rfc821_envelopes', 'yes'],

    '# Limits.',
    ['message_size_limit', String(limits.messageBytes)],
    ['mailbox_size_limit', '0'],
    ['smtpd_recipient_limit', String(limits.recipientsPerMessage)],
    ['smtpd_client_connection_count_limit', String(Math.max(1, Math.floor(limits.smtpConnections / 5)))],
  ]);
}

/** Between 53 and 67, always the same for a relay: so that not all relays return to a server that was away at once. */
function queueRunSeconds(hostname: string): number {
  let sum = 0;
  for (const char of hostname) sum = (sum * 31 + char.charCodeAt(0)) % 9973;
  return 53 + (sum % 15);
}

/** Lines of main.cf; a bare string is a comment that opens a group. */
function settings(lines: readonly (string | readonly [string, string])[]): string {
  return lines
    .map((line) => (typeof line === 'string' ? `\n${line}\n` : `${line[0]} = ${line[1]}`.trimEnd().concat('\n')))
    .join('');
}

function masterCf(layout: RelayLayout): string {
  const { ports, limits } = layout;
  const jail = layout.chroot ? 'y' : 'n';
  const here = layout.listenAddress;
  const smtpd = (port: number, options: readonly string[], address = here) =>
    `${address ? `${address}:` : ''}${port} inet n - ${jail} - ${limits.smtpConnections} smtpd
${options.map((option) => `    -o ${option}\n`).join('')}`;
  const submission = [
    'smtpd_tls_mandatory_protocols=>=TLSv1.3',
    'smtpd_sasl_auth_enable=yes',
    'smtpd_client_restrictions=permit_sasl_authenticated,reject',
    'smtpd_sender_restrictions=reject_sender_login_mismatch',
    'smtpd_relay_restrictions=permit_sasl_authenticated,reject',
    'cleanup_service_name=submission_cleanup',
    'milter_macro_daemon_name=SUBMISSION',
    'smtpd_milters=$outgoing_milter',
  ];
  const wrapped = ['smtpd_tls_wrappermode=yes', ...submission];
  const proxied = layout.behindWebServer?.submissions;
  const text = `# service type private unprivileged chroot wakeup maxproc command
${smtpd(ports.smtp, ['milter_macro_daemon_name=SMTP', 'smtpd_milters=$incoming_milter'])}\
${smtpd(ports.submissions, wrapped)}\
${ports.submission === undefined ? '' : smtpd(ports.submission, submission)}\
${proxied === undefined ? '' : smtpd(proxied, [...wrapped, 'smtpd_upstream_proxy_protocol=haproxy'], '127.0.0.1')}\
pickup unix n - ${jail} 60 1 pickup
cleanup unix n - ${jail} - 0 cleanup
submission_cleanup unix n - ${jail} - 0 cleanup
    -o header_checks=regexp:${layout.directories.postfixConfig}/submission_headers
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - ${jail} 1000? 1 tlsmgr
rewrite unix - - ${jail} - - trivial-rewrite
bounce unix - - ${jail} - 0 bounce
defer unix - - ${jail} - 0 bounce
trace unix - - ${jail} - 0 bounce
verify unix - - ${jail} - 1 verify
flush unix n - ${jail} 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - ${jail} - - smtp
relay unix - - ${jail} - - smtp
lmtp unix - - ${jail} - - lmtp
showq unix n - ${jail} - - showq
error unix - - ${jail} - - error
retry unix - - ${jail} - - error
discard unix - - ${jail} - - discard
anvil unix - - ${jail} - 1 anvil
scache unix - - ${jail} - 1 scache
tlsproxy unix - - ${jail} - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
`;
  if (layout.logs.postfix) return text;
  // Standard output is a pipe to the script of log.ts. Not in main.cf: commands would write to their own, and 3.10's fail there.
  return text.replace(/^[a-z\d].* (?:inet|unix|unix-dgram) .*/gm, '$&\n    -o maillog_file=/dev/stdout');
}
