/** What Postfix's configuration must say; that Postfix agrees is tested with the real one (test/integration). */

import t from 'tap';
import type { RelayLayout } from '../../src/layout.ts';
import { renderPostfix } from '../../src/render/postfix.ts';
import { INSTALLED } from '../layouts.ts';

function mainCf(layout: RelayLayout): Map<string, string> {
  const text = renderPostfix(layout)[`${layout.directories.postfixConfig}/main.cf`]!;
  const settings = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(settings.map((line) => [line.split(' =')[0]!, line.slice(line.indexOf('=') + 1).trim()]));
}

/** The smtpd services of master.cf: the port they listen on, and their options. */
function smtpdServices(layout: RelayLayout): { listen: string; chroot: string; maxproc: string; options: string[] }[] {
  const text = renderPostfix(layout)[`${layout.directories.postfixConfig}/master.cf`]!;
  return text
    .replace(/\n +-o /g, '\t')
    .split('\n')
    .filter((line) => line.includes(' inet '))
    .map((line) => {
      const [head = '', ...options] = line.split('\t');
      const [listen = '', , , , chroot = '', , maxproc = ''] = head.split(' ');
      return { listen, chroot, maxproc, options };
    });
}

t.test('one setting per name, and a value for each', async (t) => {
  const text = renderPostfix(INSTALLED)['/etc/postfix/main.cf']!;
  const names = text.split('\n').flatMap((line) => /^(\w+) =/.exec(line)?.[1] ?? []);
  t.same(names, [...new Set(names)], 'nothing is said twice');
  t.notMatch(text, /undefined|NaN/, 'every value is known');
});

t.test('main.cf', async (t) => {
  const settings = mainCf(INSTALLED);
  const rows: [name: string, value: string, reason: string][] = [
    ['milter_default_action', 'tempfail', 'a filter that is away never lets mail through'],
    ['mynetworks', '', 'nobody may relay for where they connect from'],
    ['relay_domains', '', 'nor for where the mail goes'],
    ['smtpd_relay_restrictions', 'reject_unauth_destination', 'what no service overrides is an incoming port'],
    ['smtpd_sasl_auth_enable', 'no', 'passwords are for submission only'],
    ['smtpd_tls_auth_only', 'yes', 'and never in clear'],
    ['smtpd_tls_security_level', 'encrypt', 'no way in without TLS'],
    ['non_smtpd_milters', 'unix:filtermail/sign.sock', 'bounces are signed'],
    ['internal_mail_filter_classes', 'bounce', 'those Postfix makes itself'],
    ['disable_mime_output_conversion', 'yes', 'and leave as they were signed, 8-bit or not'],
    ['local_header_rewrite_clients', '', 'no header fields are added to what clients sent'],
    ['disable_mime_input_processing', 'yes', 'inner headers are left alone'],
    ['local_transport', 'lmtp:unix:private/dovecot-lmtp', 'relative, because lmtp runs in a chroot'],
    ['outgoing_milter', 'unix:filtermail/outgoing.sock', 'so does smtpd'],
    ['incoming_milter', 'unix:filtermail/incoming.sock', 'so does smtpd'],
    ['smtpd_sasl_path', 'private/auth', 'so does smtpd'],
    ['smtp_tls_security_level', 'verify', 'nothing leaves for a server that cannot prove its name'],
    ['initial_destination_concurrency', '2', 'a server that comes back is not rushed'],
    ['smtp_destination_concurrency_limit', '10', 'a slow one does not take all processes'],
    ['smtp_tls_connection_reuse', 'yes', 'answers follow each other'],
    ['smtp_connection_cache_time_limit', '10s', 'but an idle connection takes a process of the other server'],
    ['minimal_backoff_time', '60s', 'the first try again'],
    ['maximal_backoff_time', '30m', 'the longest pause'],
    ['maximal_queue_lifetime', '2d', 'then it bounces'],
    ['bounce_queue_lifetime', '2d', 'bounces do not wait longer'],
    ['message_size_limit', '31457280', 'from the limits'],
    ['smtpd_client_connection_count_limit', '200', 'one client gets a fifth of all connections'],
    ['default_transport', 'smtp', 'an installed relay writes to others'],
    ['proxy_interfaces', '', 'a named relay is known by its name'],
  ];
  for (const [name, value, reason] of rows) t.equal(settings.get(name), value, `${name}: ${reason}`);
  t.notOk(settings.has('maillog_file'), 'the log is syslog unless a file is named');
});

t.test('relays do not all return at once', async (t) => {
  const delays = Array.from({ length: 50 }, (_, index) =>
    mainCf({ ...INSTALLED, hostname: `relay${index}.example` }).get('queue_run_delay'),
  );
  t.ok(
    delays.every((delay) => /^(5[3-9]|6[0-7])s$/.test(delay!)),
    'around a minute',
  );
  t.ok(new Set(delays).size > 5, `${new Set(delays).size} different ones`);
});

t.test('a relay without a name', async (t) => {
  const settings = mainCf({
    ...INSTALLED,
    addressDomain: '[203.0.113.7]',
    listenAddress: '10.0.0.2',
    outbound: 'none',
  });
  t.equal(settings.get('mydestination'), '[203.0.113.7]', 'is local to its address literal');
  t.equal(settings.get('proxy_interfaces'), '203.0.113.7', 'even where the host has another address');
  t.equal(settings.get('inet_interfaces'), '10.0.0.2', 'and listens on that one');
  t.equal(settings.get('non_smtpd_milters'), '', 'has no key to sign bounces with');
  t.equal(settings.get('internal_mail_filter_classes'), '', 'so nothing looks at them');
  t.match(settings.get('default_transport'), /^error:5\.1\.2 /, 'outbound none refuses other domains');
});

t.test('master.cf', async (t) => {
  const [smtp, submissions, submission, proxied] = smtpdServices(INSTALLED);
  t.equal(smtp?.listen, '25', 'incoming port');
  t.ok(smtp?.options.includes('smtpd_milters=$incoming_milter'), 'incoming mail is filtered');
  t.notOk(
    smtp?.options.some((option) => option.includes('sasl')),
    'nobody logs in there',
  );
  for (const service of [submissions, submission]) {
    for (const option of [
      'smtpd_milters=$outgoing_milter',
      'smtpd_tls_mandatory_protocols=>=TLSv1.3',
      'smtpd_sasl_auth_enable=yes',
      'smtpd_relay_restrictions=permit_sasl_authenticated,reject',
      'smtpd_sender_restrictions=reject_sender_login_mismatch',
      'cleanup_service_name=submission_cleanup',
      'milter_macro_daemon_name=SUBMISSION',
    ]) {
      t.ok(service?.options.includes(option), `${service?.listen}: ${option}`);
    }
  }
  t.ok(submissions?.options.includes('smtpd_tls_wrappermode=yes'), '465 is TLS from the first byte');
  t.notOk(submission?.options.includes('smtpd_tls_wrappermode=yes'), '587 is not');
  t.equal(proxied?.listen, '127.0.0.1:8465', 'for the web server on port 443, which is on this machine');
  t.same(
    proxied?.options,
    [...submissions!.options, 'smtpd_upstream_proxy_protocol=haproxy'],
    'as strict as 465, and told who the client is',
  );
  t.equal(smtp?.chroot, 'y', 'in a chroot');
  t.equal(smtp?.maxproc, '1000', 'as many sessions as the limits allow');
});

t.test('what a layout leaves out', async (t) => {
  const layout: RelayLayout = {
    ...INSTALLED,
    listenAddress: '127.0.0.1',
    ports: { ...INSTALLED.ports, submission: undefined },
    behindWebServer: undefined,
    sockets: { ...INSTALLED.sockets, outgoing: undefined, incoming: '/run/elsewhere.sock', sign: undefined },
    logs: { postfix: '/var/log/relay.log', dovecot: undefined },
    chroot: false,
  };
  const services = smtpdServices(layout);
  t.same(
    services.map(({ listen }) => listen),
    ['127.0.0.1:25', '127.0.0.1:465'],
    'no port 587, loopback only',
  );
  t.ok(
    services.every(({ chroot }) => chroot === 'n'),
    'no chroot',
  );
  const settings = mainCf(layout);
  t.equal(settings.get('outgoing_milter'), '', 'no milter');
  t.equal(settings.get('non_smtpd_milters'), '', 'none for bounces');
  t.equal(settings.get('incoming_milter'), 'unix:/run/elsewhere.sock', 'a socket outside the queue is absolute');
  t.equal(settings.get('maillog_file'), '/var/log/relay.log', 'a log file');
});
