import t from 'tap';
import { encryptedMessage, parsePlainToken } from '../src/token-format.ts';

const POINT = 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4';
const AUTH = 'BTBZMqHH6r4Tts7J_aSIgg';
const HEX = '0155b93b7eb867a0d8b7328b978bb15bf22f70867e39e168d03f199af9496894';

t.test('tokens and the services they belong to', async (t) => {
  t.same(parsePlainToken(HEX), { service: 'apns', isSandbox: false, token: HEX }, 'Apple, production');
  t.same(parsePlainToken(`sandbox:${HEX}`), { service: 'apns', isSandbox: true, token: HEX }, 'Apple, sandbox');
  t.same(
    parsePlainToken('fcm-chat.delta.beta:chu-Gh_Z:APA91b-X'),
    { service: 'fcm', packageName: 'chat.delta.beta', token: 'chu-Gh_Z:APA91b-X' },
    'Google: the package ends at the first colon',
  );
  t.same(parsePlainToken('ubports-abc:D_e-f'), { service: 'ubports', token: 'abc:D_e-f' }, 'Ubuntu Touch');
  const webPush = parsePlainToken(`webpush:https://push.example/a?b=c|${POINT}|${AUTH}`);
  t.match(webPush, { service: 'webpush', publicKey: Buffer.from(POINT, 'base64url') });
  t.ok(webPush?.service === 'webpush' && webPush.endpoint.href === 'https://push.example/a?b=c', 'Web Push');
  t.ok(parsePlainToken(`webpush:https://push.example/|${POINT}|${AUTH}==`), 'padding does no harm');
});

t.test('texts that no service could know', async (t) => {
  const rows: [token: string, reason: string][] = [
    ['', 'empty'],
    ['hello', 'not hexadecimal'],
    [HEX.slice(1), 'half a byte'],
    ['abcd', 'too short'],
    [HEX.repeat(20), 'too long'],
    [`${HEX}/../x`, 'a path'],
    [`sandbox:${HEX}?x`, 'a query'],
    ['fcm-chat.delta', 'no token'],
    ['fcm-:abc', 'no package'],
    ['fcm-chat.delta:ab"c', 'would leave its JSON text in today’s gateway'],
    ['fcm-chat.delta:ab\r\nc', 'line break'],
    ['ubports-', 'no token'],
    ['ubports-a b', 'a blank'],
    [`webpush:http://push.example/|${POINT}|${AUTH}`, 'not HTTPS'],
    [`webpush:ftp://push.example/|${POINT}|${AUTH}`, 'not HTTP at all'],
    [`webpush:https://user:pw@push.example/|${POINT}|${AUTH}`, 'credentials'],
    [`webpush:https://push.example/#x|${POINT}|${AUTH}`, 'fragment'],
    [`webpush:push.example|${POINT}|${AUTH}`, 'no URL'],
    [`webpush:https://push.example/|${POINT}`, 'no secret'],
    [`webpush:https://push.example/|${POINT}|${AUTH}|x`, 'more than belongs there'],
    [`webpush:https://push.example/|${POINT.slice(0, -2)}|${AUTH}`, 'a point that is too short'],
    [`webpush:https://push.example/|A${POINT.slice(1)}|${AUTH}`, 'a compressed point'],
    [`webpush:https://push.example/|${POINT}|${AUTH.slice(2)}`, 'a secret that is too short'],
    [`webpush:https://push.example/|${POINT}|${AUTH.slice(2)}!!`, 'not base64url'],
    [`webpush:https://push.example/${'x'.repeat(4096)}|${POINT}|${AUTH}`, 'too long'],
  ];
  for (const [token, reason] of rows) t.equal(parsePlainToken(token), undefined, reason);
});

t.test('encrypted tokens', async (t) => {
  t.same(encryptedMessage('openpgp:aGVsbG8='), Buffer.from('hello'), 'standard base64');
  t.equal(encryptedMessage(HEX), undefined, 'a plain token');
  for (const [token, reason] of [
    ['openpgp:', 'empty'],
    ['openpgp:a_b-', 'base64url'],
    ['openpgp:a b', 'a blank'],
    ['openpgp:YQ==x', 'text behind the padding'],
    [`openpgp:${'A'.repeat(5000)}`, 'too long'],
  ] as const) {
    t.equal(encryptedMessage(token), 'malformed', reason);
  }
});
