import fc from 'fast-check';
import t from 'tap';
import { parseInheritedPush, parseInheritedTokens } from '../src/inherited-format.ts';

const NOW = 1_800_000_000_000;
const SECONDS = NOW / 1000;
const DAY = 24 * 60 * 60;

t.test('metadata.json', async (t) => {
  const rows: [text: string, tokens: [string, number][] | undefined, reason: string][] = [
    [
      '{"devicetoken":["a","b"]}',
      [
        ['a', NOW],
        ['b', NOW],
      ],
      'the list of the first years: no times',
    ],
    [
      `{"devicetoken":{"a":${SECONDS - 60.5},"b":${SECONDS - 120}}}`,
      [
        ['b', NOW - 120_000],
        ['a', NOW - 60_500],
      ],
      'times',
    ],
    [`{"devicetoken":{"old":${SECONDS - 91 * DAY},"new":${SECONDS}}}`, [['new', NOW]], 'older than 90 days'],
    [`{"devicetoken":{"future":${SECONDS + 61}}}`, [], 'set under a wrong clock'],
    ['{"devicetoken":["a","a"]}', [['a', NOW]], 'twice'],
    ['{"devicetoken":[5,null,"","a b","ü"]}', [], 'no tokens'],
    ['{"devicetoken":{"a":"yesterday","b":null}}', [], 'no times'],
    ['{"devicetoken":"a"}', [], 'neither form'],
    ['{}', [], 'no tokens yet'],
    ['[]', undefined, 'another file'],
    ['{"devicetoken":', undefined, 'cut short'],
    ['', undefined, 'empty'],
  ];
  for (const [text, tokens, reason] of rows) {
    const parsed = parseInheritedTokens(text, NOW);
    t.same(
      parsed?.map(({ token, setAt }) => [token, setAt]),
      tokens,
      reason,
    );
  }
  const many = Array.from({ length: 30 }, (_, n) => [`t${n}`, SECONDS - 100 + n]);
  const parsed = parseInheritedTokens(JSON.stringify({ devicetoken: Object.fromEntries(many) }), NOW)!;
  t.equal(parsed.length, 20);
  t.equal(parsed[0]!.token, 't10', 'the oldest go');
});

t.test('pending_notifications', async (t) => {
  t.match(parseInheritedPush('anna@example.org\n1800000000\nopenpgp:abc='), {
    address: { text: 'anna@example.org' },
    queuedAt: NOW,
    token: 'openpgp:abc=',
  });
  t.match(parseInheritedPush('anna@[127.0.0.1]\n1800000000.25\ntoken\n'), { queuedAt: NOW + 250 }, 'fractions');
  const rows: [text: string, reason: string][] = [
    ['', 'empty'],
    ['anna@example.org\n1800000000', 'cut short'],
    ['anna\n1800000000\ntoken', 'no address'],
    ['../etc@example.org\n1800000000\ntoken', 'no address of ours'],
    ['anna@example.org\nnow\ntoken', 'no time'],
    ['anna@example.org\n-5\ntoken', 'before time'],
    ['anna@example.org\n1800000000\na token', 'no token'],
  ];
  for (const [text, reason] of rows) t.equal(parseInheritedPush(text), undefined, reason);
});

t.test('nothing throws', async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.jsonValue().map((v) => JSON.stringify({ devicetoken: v })),
      ),
      (text) => {
        parseInheritedTokens(text, NOW);
        parseInheritedPush(text);
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});
