/**
 * `chatmailctl dns` against a real name server: what it prints is loaded by NSD as it is, and found by `dns --check`, which asks the
 * servers of the zone; what is changed or taken out is named. In a network namespace, on port 53. Needs root.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { aptInstall } from './debian13.ts';

const CHATMAILCTL = join(import.meta.dirname, '../../bin/chatmailctl');
const DOMAIN = 'chat.example.org';
const ADDRESSES = '--ipv4 192.0.2.7 --ipv6 2001:db8::7';

t.setTimeout(120_000);
if (!existsSync('/usr/sbin/nsd')) await aptInstall('nsd');
const directory = mkdtempSync(join(tmpdir(), 'chatmail-dns-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const ini = join(directory, 'chatmail.ini');
const key = join(directory, 'dkim.private');
writeFileSync(ini, `[params]\nmail_domain = ${DOMAIN}\ndkim_key = ${key}\ndns_servers = 127.0.0.1\n`);
writeFileSync(
  join(directory, 'nsd.conf'),
  `server:
  ip-address: 127.0.0.1
  port: 53
  username: ""
  chroot: ""
  zonesdir: "${directory}"
  database: ""
  pidfile: "${directory}/nsd.pid"
  xfrdfile: "${directory}/xfrd"
  xfrdir: "${directory}"
  zonelistfile: "${directory}/zone.list"
remote-control:
  control-enable: no
zone:
  name: "${DOMAIN}"
  zonefile: "zone"
`,
);

/** Runs a script with NSD and the zone behind it; `$ctl` is our command. */
async function withZone(zone: string, script: string): Promise<{ code: number; output: string }> {
  const own = `$ORIGIN ${DOMAIN}.\n@ 60 IN SOA ns hostmaster 1 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n`;
  writeFileSync(join(directory, 'zone'), own + zone);
  return await run(`ip link set lo up
nsd-checkzone ${DOMAIN} ${directory}/zone
nsd -d -c ${directory}/nsd.conf &
server=$!
trap 'kill $server; wait $server 2>/dev/null || :' EXIT
for i in $(seq 50); do grep -q ':0035 ' /proc/net/udp && break; sleep 0.1; done
${script}`);
}

async function run(script: string): Promise<{ code: number; output: string }> {
  const ctl = `ctl() { command=$1; shift; ${CHATMAILCTL} $command --config ${ini} "$@"; }`;
  const child = spawn('unshare', ['--net', 'sh', '-c', `set -e\n${ctl}\n${script}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = await once(child, 'close');
  return { code: code as number, output };
}

const made = await run(`openssl genrsa -out ${key} 2048 2>/dev/null; ctl dns ${ADDRESSES}`);
t.equal(made.code, 0, made.output);
const zone = made.output;

t.test('all is there', async (t) => {
  const { code, output } = await withZone(zone, `ctl dns --check ${ADDRESSES}`);
  t.equal(code, 0, output);
  t.match(output, new RegExp(`asked ns\\.${DOMAIN.replaceAll('.', '\\.')} \\(the zone's own servers\\)`));
  t.notMatch(output, /missing|wrong/i, output);
  t.notMatch(output, /All is there/, 'nobody knows the reverse names here');
});

t.test('the zone of a relay of today, with a server that is down', async (t) => {
  const older = zone
    .replace(/^(opendkim.*IN TXT) .*$/m, (line, start) => {
      const value = [...line.matchAll(/"([^"]*)"/g)].map(([, text]) => text).join('');
      const text = `${value.replaceAll('; ', ';')};s=email;t=s`;
      return `${start} "${text.slice(0, 100)}" "${text.slice(100, 300)}" "${text.slice(300)}"`;
    })
    .concat('@ 60 IN NS gone\ngone 60 IN A 127.0.0.2\n');
  t.match(older, /s=email;t=s"/);
  const { code, output } = await withZone(older, `ctl dns --check ${ADDRESSES}`);
  t.equal(code, 0, output);
  t.match(output, /asked ns\.chat\.example\.org \(the zone's own servers\)/, 'the one that answers');
  t.match(output, /^ok {6}TXT {3}opendkim\._domainkey/m);
});

t.test('what is not as it should be', async (t) => {
  const broken = zone
    .replace(/^(opendkim.*p=)....(.*)$/m, '$1AAAA$2')
    .replace(/^.* IN MX .*$/m, '')
    .replace(/^_mta-sts.*$/m, '')
    .replace(/^_dmarc.*$/m, `_dmarc.${DOMAIN}. IN TXT "v=DMARC1; p=none"`);
  const { code, output } = await withZone(broken, `ctl dns --check ${ADDRESSES}`);
  t.equal(code, 1, output);
  t.match(output, /^MISSING MX {4}chat\.example\.org$/m);
  t.match(output, /^WRONG {3}TXT {3}opendkim\._domainkey\.chat\.example\.org is "v=DKIM1/m);
  t.match(output, /^missing TXT {3}_mta-sts/m, 'in small letters, for it is only recommended');
  t.match(output, /^ok {6}TXT {3}_dmarc.* \(another policy than ours\)$/m);
  t.match(output, /^chat\.example\.org\. 3600 IN MX 10 chat\.example\.org\.$/m, 'what to add');

  const json = await withZone(broken, `ctl dns --check --json ${ADDRESSES}`);
  t.equal(json.code, 1);
  const report = JSON.parse(json.output.split('\n').find((line) => line.startsWith('{'))!);
  t.equal(report.ok, false);
  t.equal(report.records.find((record: { type: string }) => record.type === 'MX').state, 'missing');
});

t.test('nobody answers', async (t) => {
  const { code, output } = await run('ctl dns --check || echo "code $?"');
  t.equal(code, 0);
  t.match(output, /code 75/);
  t.match(output, /^\? {7}MX/m, 'that is not the same as missing');
  t.match(output, /records could not be asked for/);
  t.notMatch(output, /All is there/);
});

t.test('what there is to complain about', async (t) => {
  writeFileSync(join(directory, 'ip.ini'), '[params]\nmail_domain = 192.0.2.7\n');
  const ip = await run(`${CHATMAILCTL} dns --check --config ${directory}/ip.ini`);
  t.match(ip, { code: 0, output: /it needs no DNS records/ });
  t.match(await run('ctl dns --ipv4 nonsense'), { code: 64, output: /'nonsense' is no IPv4 address/ });
  rmSync(key);
  t.match(await run('ctl dns'), { code: 78, output: /the DKIM key .* cannot be read \(ENOENT\); chatmailctl init/ });
});
