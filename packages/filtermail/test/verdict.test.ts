import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formatReply, type Refusal, safeDetail } from '../src/verdict.ts';

const ROOT = join(import.meta.dirname, '../../..');
const TEMPORARY = ['rate_limited', 'dkim_dns', 'internal'];

t.test('every reply stands in docs/filtermail.md, word for word', async (t) => {
  const manual = readFileSync(join(ROOT, 'docs/filtermail.md'), 'utf8');
  const rows = new Map([...manual.matchAll(/^\| `([a-z_]+)` \| (.+) \|$/gm)].map(([, code, reply]) => [code!, reply!]));
  const source = readFileSync(join(ROOT, 'packages/filtermail/src/verdict.ts'), 'utf8');
  const codes = [...source.matchAll(/^ {2}([a-z_]+): [{']/gm)].map(([, code]) => code!);
  t.ok(codes.length > 50, `${codes.length} codes`);
  t.same([...rows.keys()].sort(), [...codes].sort(), 'the same codes');
  for (const code of codes) {
    const verdict = TEMPORARY.includes(code) ? 'tempfail' : 'reject';
    const reply = formatReply({ verdict, reason: code, detail: '…' } as Refusal);
    t.equal(rows.get(code), `${reply.code} ${reply.enhanced} ${reply.text}`, code);
    t.equal(reply.enhanced[0], String(reply.code)[0], `${code}: of one class`);
    t.ok(reply.text.length < 200, `${code}: one line`);
  }
});

t.test('a word of the message is fit to be shown', async (t) => {
  const rows: readonly [word: string, shown: string, why: string][] = [
    ['text/plain', 'text/plain', 'a media type'],
    ['a b\r\n250 ok\0\xe9', 'a?b??250?ok??', 'no line ends, blanks, control characters'],
    ['x'.repeat(100), 'x'.repeat(60), 'short'],
  ];
  for (const [word, shown, why] of rows) t.equal(safeDetail(word), shown, why);
});
