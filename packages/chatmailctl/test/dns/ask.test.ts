import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig } from '#core';
import { DnsStub } from '../../../../test/support/dns-stub.ts';
import { checkZone, readZone, type ZoneReport } from '../../src/dns/check.ts';
import type { ZoneRecord } from '../../src/dns/zone.ts';

const DOMAIN = 'chat.example.org';
const keyFile = join(t.testdir(), 'dkim.private');
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));

const stub = await DnsStub.start();
const others = [await DnsStub.start(), await DnsStub.start()];
t.teardown(async () => {
  for (const server of [stub, ...others]) await server.stop();
});
const configOf = (servers: string) =>
  parseConfig(`[params]\nmail_domain = ${DOMAIN}\ndkim_key = ${keyFile}\ndns_servers = ${servers}\n`);
const config = configOf(stub.address);
const records = await readZone(config, { ipv4: ['1.2.3.4'], ipv6: [] });
const key = records.find(({ name }) => name.startsWith('opendkim'))!;
const stateOf = (report: ZoneReport, { name, type }: Pick<ZoneRecord, 'name' | 'type'>) =>
  report.records.find((record) => record.name === name && record.type === type)!.state;
const fill = () => {
  stub.zone.clear();
  stub.zone.set(DOMAIN, { a: '1.2.3.4', mx: DOMAIN });
  stub.zone.set(key.name, { txt: [key.value] });
};

t.test('all that is required, from a resolver', async (t) => {
  fill();
  const report = await checkZone(config, records);
  t.equal(report.isAuthoritative, false, 'it names no servers of the zone');
  const required = report.records.filter(({ level }) => level === 'required');
  t.same(
    required.map(({ state }) => state),
    ['ok', 'ok', 'ok'],
    'the key comes in strings of 255 bytes',
  );
});

t.test('records that are wrong or not there', async (t) => {
  fill();
  stub.zone.set(DOMAIN, { a: '1.2.3.4', mx: 'elsewhere.example.org' });
  stub.zone.set(key.name, { txt: [key.value, 'v=DKIM1; p=other'] });
  const report = await checkZone(config, records);
  t.equal(stateOf(report, { name: DOMAIN, type: 'A' }), 'ok');
  t.equal(stateOf(report, { name: DOMAIN, type: 'MX' }), 'wrong');
  t.equal(stateOf(report, key), 'wrong');
  t.equal(stateOf(report, { name: `_dmarc.${DOMAIN}`, type: 'TXT' }), 'missing');
});

t.test('a key in another zone', async (t) => {
  fill();
  stub.zone.set(key.name, { cname: 'key.elsewhere.example', isChased: true });
  stub.zone.set('key.elsewhere.example', { txt: [`${key.value};s=email;t=s`] });
  t.equal(stateOf(await checkZone(config, records), key), 'ok');
});

t.test('a server that fails', async (t) => {
  fill();
  stub.zone.set(key.name, { rcode: 2 });
  t.equal(stateOf(await checkZone(config, records), key), 'unknown', 'that is not the same as missing');
});

t.test('servers that are silent are asked once, not for each record', async (t) => {
  const servers = [stub, ...others];
  for (const server of servers) {
    server.isSilent = true;
    server.queries.length = 0;
  }
  const silent = configOf(servers.map(({ address }) => address).join(' '));
  const report = await checkZone(silent, records, { timeoutMs: 100, tries: 2, questionMs: 700 });
  t.ok(report.records.every(({ state }) => state === 'unknown'));
  t.same([...new Set(servers.flatMap(({ queries }) => queries))].sort(), [`udp ${DOMAIN}`, 'udp example.org']);
  t.ok(records.length > 5, 'which could have been asked for');
});
