/** Where an installed relay has everything. */

import t from 'tap';
import { parseConfig } from '#core';
import { certificatePaths, productionLayout } from '../src/production-layout.ts';
import { FACTS, INSTALLED } from './layouts.ts';

const config = (text: string) => parseConfig(`[params]\n${text}`);

t.test('a relay with a name, all at its default', async (t) => {
  const layout = productionLayout(config('mail_domain = chat.example.org'), FACTS);
  t.same(layout, {
    ...INSTALLED,
    certificate: { chain: '/var/lib/chatmail/acme/live.pem', key: '/var/lib/chatmail/acme/live.key' },
  });
});

t.test('a relay with an address', async (t) => {
  const layout = productionLayout(config('mail_domain = 203.0.113.7'), FACTS);
  t.equal(layout.addressDomain, '[203.0.113.7]');
  t.equal(layout.hostname, '7.113.0.203.in-addr.arpa', 'the only name it has');
  t.equal(layout.directories.mailboxes, '/home/vmail/mail/[203.0.113.7]');
  t.equal(layout.certificate.chain, '/etc/chatmail/tls/self-signed.pem');
});

t.test('IPv6', async (t) => {
  const named = 'mail_domain = chat.example.org\n';
  t.equal(productionLayout(config(named), FACTS).ipv4Only, false);
  t.equal(productionLayout(config(`${named}disable_ipv6 = true`), FACTS).ipv4Only, true, 'switched off');
  t.equal(productionLayout(config(named), { ...FACTS, hasIpv6: false }).ipv4Only, true, 'the kernel has none');
});

t.test('the certificate', async (t) => {
  const rows: [ini: string, kind: string, reason: string][] = [
    ['mail_domain = chat.example.org', 'acme', 'a name an authority certifies'],
    ['mail_domain = _chat.example.org', 'self', 'a name none certifies'],
    ['mail_domain = 203.0.113.7', 'self', 'no name'],
    ['mail_domain = chat.example.org\ntls_external_cert_and_key = /c.pem /k.pem', 'external', 'given'],
    ['mail_domain = _chat.example.org\ntls_external_cert_and_key = /c.pem /k.pem', 'external', 'given'],
  ];
  for (const [ini, kind, reason] of rows) t.equal(certificatePaths(config(ini)).kind, kind, `${ini}: ${reason}`);
});
