import t from 'tap';
import { MAX_APP_VERSIONS_BYTES, parseAppVersions } from '../src/app-versions.ts';

const SOURCE = {
  sourceId: 'github',
  versionInteger: 746,
  versionString: '2.33.0',
  downloadUrl: 'https://download.delta.chat/android/app.apk',
};
const of = (source: unknown) => JSON.stringify({ clients: [{ clientId: 'android', sources: [source] }] });

t.test('a list is served as one line, with what clients read', async (t) => {
  const text = JSON.stringify(
    { clients: [{ clientId: 'a', sources: [{ ...SOURCE, note: 'x' }], x: 1 }], v: 2 },
    null,
    2,
  );
  const parsed = parseAppVersions(text);
  t.same(parsed, { ok: true, line: JSON.stringify({ clients: [{ clientId: 'a', sources: [SOURCE] }] }) });
  t.same(parseAppVersions('{"clients":[]}'), { ok: true, line: '{"clients":[]}' }, 'no app is a list too');
});

t.test('clients would drop these, so they are not served', async (t) => {
  const at = 'clients[0].sources[0]';
  const rows: [text: string, where: string, reason: string][] = [
    ['{', 'not JSON', 'broken'],
    ['[]', 'the file', 'no object'],
    ['{}', 'clients', 'no list'],
    ['{"clients":[3]}', 'clients[0]', 'no client'],
    ['{"clients":[{"clientId":"a"}]}', 'clients[0].sources', 'no sources'],
    ['{"clients":[{"clientId":7,"sources":[]}]}', 'clients[0].clientId', 'a number for a text'],
    [of({ ...SOURCE, versionInteger: '746' }), `${at}.versionInteger`, 'a text for a number'],
    [of({ ...SOURCE, versionInteger: -1 }), `${at}.versionInteger`, 'below u32'],
    [of({ ...SOURCE, versionInteger: 2 ** 32 }), `${at}.versionInteger`, 'above u32'],
    [of({ ...SOURCE, versionInteger: 1.5 }), `${at}.versionInteger`, 'a fraction'],
    [of({ ...SOURCE, versionString: '' }), `${at}.versionString`, 'empty'],
    [of({ ...SOURCE, downloadUrl: 'http://download.delta.chat/' }), `${at}.downloadUrl`, 'not HTTPS'],
    [of({ ...SOURCE, downloadUrl: 'download.delta.chat' }), `${at}.downloadUrl`, 'no URL'],
    [of(null), at, 'nothing'],
    [of({ ...SOURCE, sourceId: 'x'.repeat(501) }), `${at}.sourceId`, 'too long'],
  ];
  for (const [text, where, reason] of rows) {
    const parsed = parseAppVersions(text);
    t.match(parsed, { ok: false }, reason);
    t.ok(!parsed.ok && parsed.reason.includes(where), `${reason}: says where`);
  }
  const many = JSON.stringify({ clients: [{ clientId: 'a', sources: Array(200).fill(SOURCE) }] });
  t.ok(many.length > MAX_APP_VERSIONS_BYTES);
  t.match(parseAppVersions(many), { ok: false }, 'every client would load it');
});
