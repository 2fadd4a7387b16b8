import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { parseConfig } from '#core';
import { type CheckedRecord, checkRecord, forgiveOtherAddresses, formatChecked } from '../../src/dns/compare.ts';
import { dkimRecords } from '../../src/dns/dkim-record.ts';
import { formatRecord, formatZone, reverseName, type ZoneRecord, zoneOf } from '../../src/dns/zone.ts';

const DKIM = [{ selector: 'opendkim', value: `v=DKIM1; k=rsa; p=${'A'.repeat(392)}` }];
const facts = { ipv4: ['1.2.3.4'], ipv6: ['2a00::1'], dkim: DKIM };
const configOf = (lines: string) => parseConfig(`[params]\nmail_domain = chat.example.org\n${lines}\n`);
const typesOf = (records: readonly ZoneRecord[], level: string) =>
  records.filter((record) => record.level === level).map(({ type }) => type);

t.test('the zone', async (t) => {
  const zone = zoneOf(configOf(''), facts);
  t.same(typesOf(zone, 'required'), ['A', 'MX', 'TXT']);
  t.ok(
    zone.some(({ name, value }) => name === '_mta-sts.chat.example.org' && /^v=STSv1; id=[0-9a-f]{32}$/.test(value)),
  );
  t.same(zoneOf(configOf(''), facts), zone, 'the same every time');
  const line = formatRecord(zone.find(({ name }) => name.startsWith('opendkim'))!);
  t.match(
    line,
    /^opendkim\._domainkey\.chat\.example\.org\. 3600 IN TXT "v=DKIM1[^"]{248}" "A+"$/,
    'strings of 255 bytes',
  );
  t.notOk(zoneOf(configOf('disable_ipv6 = true'), facts).some(({ type }) => type === 'AAAA'));
  const external = zoneOf(configOf('tls_external_cert_and_key = /a /b'), facts);
  t.notOk(
    external.some(({ type }) => type === 'CAA'),
    'whose certificate it is we do not know',
  );
  t.notOk(
    zoneOf(configOf('tls_external_cert_and_key = /a /b\nacme_directory_url ='), facts).some(
      ({ type }) => type === 'CAA',
    ),
  );
  const other = zoneOf(configOf('acme_directory_url = https://acme.zerossl.com/v2/DV90'), facts);
  t.notOk(
    other.some(({ type }) => type === 'CAA'),
    'what another authority is called there is not known',
  );
  const unknown = formatZone(zoneOf(configOf(''), { ...facts, ipv4: [], ipv6: [] }));
  t.ok(unknown.some((text) => text.includes('THE-PUBLIC-ADDRESS')));
  t.match(formatZone(zone).at(-1), /ip6\.arpa\. 3600 IN PTR chat\.example\.org\.$/);
});

t.test('reverse names', async (t) => {
  t.equal(reverseName('203.0.113.7'), '7.113.0.203.in-addr.arpa');
  const zeros = '0.'.repeat(23);
  t.equal(reverseName('2001:db8::7'), `7.0.0.0.${zeros.slice(0, -6)}8.b.d.0.1.0.0.2.ip6.arpa`);
  t.equal(reverseName('2001:DB8:0:0:0:0:0:7'), reverseName('2001:db8::7'));
});

t.test('keys', async (t) => {
  const pem = (key: { export(options: object): string | Buffer }) =>
    key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const rsa = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  const ed25519 = pem(generateKeyPairSync('ed25519').privateKey);
  const records = dkimRecords(rsa + ed25519, 'mail');
  t.same(
    records.map(({ selector }) => selector),
    ['mail', 'mail-ed25519'],
  );
  t.match(records[0]!.value, /^v=DKIM1; k=rsa; p=MIIBI/);
  t.equal(Buffer.from(records[1]!.value.split('p=')[1]!, 'base64').length, 32);
  t.same(dkimRecords('nothing', 'mail'), []);
});

t.test('answers', async (t) => {
  const zone = zoneOf(configOf(''), facts);
  const find = (type: string, start = '') => zone.find((r) => r.type === type && r.name.startsWith(start))!;
  const spf = zone.find(({ value }) => value.startsWith('v=spf1'))!;
  const key = find('TXT', 'opendkim');
  const rows: [record: ZoneRecord, values: string[], state: CheckedRecord['state'], why: string][] = [
    [find('A'), ['1.2.3.4'], 'ok', 'as it should be'],
    [find('A'), ['1.2.3.4', '9.9.9.9'], 'ok', 'one of several'],
    [find('A'), ['9.9.9.9'], 'wrong', 'another machine'],
    [find('A'), [], 'missing', 'none'],
    [{ ...find('A'), value: '' }, ['9.9.9.9'], 'ok', 'an address we cannot know'],
    [find('AAAA'), ['2A00:0:0::0001'], 'ok', 'written differently'],
    [find('MX'), ['0 CHAT.example.org.'], 'ok', 'another preference, capitals, a dot'],
    [find('MX'), ['10 chat.example.org', '20 backup.example.org'], 'wrong', 'mail goes elsewhere too'],
    [key, [`${key.value};`], 'ok', 'a semicolon at the end'],
    [key, [`k = rsa;v=DKIM1;  p= ${key.value.slice(-392).replace(/^.{9}/, '$& ')}`], 'ok', 'order and blanks'],
    [key, [key.value.replace('v=DKIM1; k=rsa; ', '')], 'ok', 'what may be left out'],
    [key, [key.value.replace('AAAA', 'AAAB')], 'wrong', 'another key'],
    [key, [key.value, 'v=DKIM1; p=other'], 'wrong', 'two keys: some servers take the first, some none'],
    [key, [`${key.value};s=email;t=s`], 'ok', 'as relays of today have it'],
    [key, [`${key.value};s=*;h=sha1:sha256`], 'ok', 'for every use, with our hash'],
    [key, [`${key.value};s=tlsrpt`], 'wrong', 'for another service'],
    [key, [`${key.value};h=sha1`], 'wrong', 'for another hash'],
    [key, [key.value.replace('k=rsa', 'k=ed25519')], 'wrong', 'another algorithm'],
    [key, ['v=DKIM1; p='], 'wrong', 'a revoked key'],
    [key, ['google-site-verification=x'], 'missing', 'something else'],
    [spf, ['some-verification=1', 'v=spf1 a ~all'], 'ok', 'other records beside it'],
    [spf, ['v=spf1 mx -all'], 'ok', 'a policy that lets it pass'],
    [spf, ['v=spf1 -all'], 'wrong', 'a policy that forbids it'],
    [spf, ['v=spf1 a ~all', 'v=spf1 mx -all'], 'wrong', 'two policies: RFC 7208 section 4.5'],
    [find('TXT', '_dmarc'), ['v=DMARC1; p=none; rua=mailto:x@example.org'], 'ok', 'a policy of their own'],
    [find('TXT', '_mta-sts'), ['v=STSv1; id=1'], 'wrong', 'an old id: nobody reads the new policy'],
    [find('CAA'), ['0 issue "letsencrypt.org"', '0 issuewild ";"'], 'ok', 'more than ours'],
    [find('CAA'), ['0 issue "letsencrypt.org; accounturi=https://x/1"'], 'ok', 'with an account'],
    [find('CAA'), ['0 issue "other.example"'], 'wrong', 'no certificate could be had'],
    [find('SRV', '_imaps'), ['5 5 993 chat.example.org'], 'ok', 'priorities do not matter'],
    [find('SRV', '_imaps'), ['0 1 143 chat.example.org'], 'wrong', 'another port'],
    [find('PTR'), ['chat.example.org'], 'ok', 'the reverse name'],
  ];
  for (const [record, values, state, why] of rows) {
    t.equal(checkRecord(record, { kind: 'answer', values }).state, state, `${record.type}: ${why}`);
  }
  t.match(checkRecord(key, { kind: 'answer', values: [`${key.value}; t=y:s`] }), { state: 'ok', note: /^t=y/ });
  t.equal(checkRecord(key, { kind: 'unknown', reason: 'ETIMEOUT' }).state, 'unknown');
  t.match(
    formatChecked(checkRecord(find('A'), { kind: 'answer', values: ['9.9.9.9'] })),
    /^WRONG {3}A .* is "9\.9\.9\.9"$/,
  );
  t.match(formatChecked(checkRecord(find('AAAA'), { kind: 'answer', values: [] })), /^missing AAAA /, 'small: advice');
});

t.test('a machine with several addresses', async (t) => {
  const zone = zoneOf(configOf(''), { ...facts, ipv4: ['1.2.3.4', '1.2.3.5'] }).filter(({ type }) => type === 'A');
  const statesFor = (values: string[]) =>
    forgiveOtherAddresses(zone.map((record) => checkRecord(record, { kind: 'answer', values }))).map(
      ({ state }) => state,
    );
  t.same(statesFor(['1.2.3.5']), ['ok', 'ok'], 'one is enough');
  t.same(statesFor(['9.9.9.9']), ['wrong', 'wrong'], 'none of them');
  t.same(statesFor([]), ['missing', 'missing']);
  const onlyIpv6 = zoneOf(configOf(''), { ...facts, ipv4: [] });
  t.same(typesOf(onlyIpv6, 'required'), ['AAAA', 'MX', 'TXT'], 'where there is no other address');
});
