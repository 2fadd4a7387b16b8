import t from 'tap';
import { asciiDomain, parseSignature } from '../../src/dkim/signature.ts';
import { decodeBase64, parseTagList } from '../../src/dkim/tag-list.ts';

const HASH = Buffer.alloc(32, 7).toString('base64');
const BASE: Readonly<Record<string, string>> = {
  v: '1',
  a: 'rsa-sha256',
  c: 'relaxed/simple',
  d: 'example.org',
  s: 'sel',
  h: 'From:To',
  bh: HASH,
  b: 'c2lnbmF0dXJl',
};

/** A signature with some tags changed; those set to undefined are left out. */
function value(changes: Readonly<Record<string, string | undefined>> = {}): string {
  return Object.entries({ ...BASE, ...changes })
    .filter(([, text]) => text !== undefined)
    .map(([name, text]) => ` ${name}=${text}`)
    .join(';');
}

t.test('tag lists', async (t) => {
  const rows: readonly [text: string, tags: Record<string, string> | undefined, why: string][] = [
    ['a=1', { a: '1' }, 'one'],
    ['a=1;', { a: '1' }, 'a semicolon at the end'],
    [' a = 1 ;\r\n\tb=\n 2 \n', { a: '1', b: '2' }, 'blanks and folds around'],
    ['a=1 2\n 3', { a: '1 2\n 3' }, 'blanks and folds inside'],
    ['a=;b==', { a: '', b: '=' }, 'empty, and an equals sign'],
    ['A=1;a=2', { A: '1', a: '2' }, 'names are case-sensitive'],
    ['a=\xc3\xbc', { a: '\xc3\xbc' }, 'UTF-8'],
    ['', undefined, 'nothing'],
    [';', undefined, 'only a semicolon'],
    ['a=1;;b=2', undefined, 'an empty tag'],
    ['a=1;b', undefined, 'a tag without a value'],
    ['a', undefined, 'no equals sign'],
    ['=1', undefined, 'no name'],
    ['1a=1', undefined, 'a name that begins with a digit'],
    ['a b=1', undefined, 'a blank in a name'],
    ['a=1;a=1', undefined, 'twice'],
    ['a=\0', undefined, 'a control character'],
    [`a=${'x'.repeat(8190)}`, { a: 'x'.repeat(8190) }, 'as long as may be'],
    [`a=${'x'.repeat(8191)}`, undefined, 'too long'],
    [Array.from({ length: 41 }, (_, i) => `a${i}=1`).join(';'), undefined, 'too many'],
  ];
  for (const [text, tags, why] of rows) {
    const parsed = parseTagList(text);
    t.same(parsed && Object.fromEntries([...parsed].map(([name, tag]) => [name, tag.value])), tags, why);
  }
});

t.test('base64', async (t) => {
  for (const [text, bytes, why] of [
    ['YQ==', 'a', 'padded'],
    ['Y\n Q =\t=', 'a', 'folded'],
    ['YWJj', 'abc', 'without padding'],
    ['', undefined, 'nothing'],
    ['YQ', undefined, 'padding missing'],
    ['Y===', undefined, 'too much padding'],
    ['YQ=a', undefined, 'padding inside'],
    ['YW-_', undefined, 'of URLs'],
  ] as const) {
    t.equal(decodeBase64(text)?.toString(), bytes, why);
  }
});

t.test('signatures', async (t) => {
  const rows: readonly [changes: Record<string, string | undefined>, outcome: string, why: string][] = [
    [{}, 'ok', 'as it should be'],
    [{ c: undefined }, 'ok', 'no c='],
    [{ a: 'ed25519-sha256' }, 'ok', 'Ed25519'],
    [{ a: 'RSA-SHA256', c: 'RELAXED' }, 'ok', 'in capitals'],
    [{ q: 'dns/txt', i: '@example.org', t: '1', x: '2', z: 'From:a' }, 'ok', 'all the rest'],
    [{ i: 'a=40b@sub.example.org' }, 'ok', 'an identity below the domain'],
    [{ q: 'x:dns/txt' }, 'ok', 'DNS among others'],
    [{ n: 'whatever' }, 'ok', 'a tag nobody knows'],
    [{ h: ' From : To\n : Subject' }, 'ok', 'folds in h='],
    [{ h: 'Subject:FROM' }, 'ok', 'From in capitals'],
    [{ v: '2' }, 'dkim_malformed', 'another version'],
    [{ v: undefined }, 'dkim_malformed', 'no version'],
    [{ a: 'rsa-sha1' }, 'dkim_algorithm', 'SHA-1, RFC 8301'],
    [{ a: 'dsa-sha256' }, 'dkim_algorithm', 'an algorithm nobody knows'],
    [{ a: undefined }, 'dkim_malformed', 'no algorithm'],
    [{ a: 'rsa' }, 'dkim_malformed', 'half an algorithm'],
    [{ c: 'nofws' }, 'dkim_malformed', 'an unknown form'],
    [{ c: 'relaxed/simple/x' }, 'dkim_malformed', 'a third form'],
    [{ c: 'relaxed/' }, 'dkim_malformed', 'half a form'],
    [{ s: undefined }, 'dkim_malformed', 'no selector'],
    [{ s: 'a..b' }, 'dkim_malformed', 'an empty label'],
    [{ s: 'a b' }, 'dkim_malformed', 'a blank in the selector'],
    [{ s: `${'a'.repeat(64)}` }, 'dkim_malformed', 'a label too long'],
    [{ b: undefined }, 'dkim_malformed', 'no signature'],
    [{ b: '!' }, 'dkim_malformed', 'not base64'],
    [{ bh: undefined }, 'dkim_malformed', 'no hash'],
    [{ bh: 'YQ==' }, 'dkim_malformed', 'a short hash'],
    [{ h: undefined }, 'dkim_malformed', 'no h='],
    [{ h: 'From::To' }, 'dkim_malformed', 'an empty name in h='],
    [{ h: `From${':x'.repeat(200)}` }, 'dkim_malformed', 'too many names in h='],
    [{ h: 'To:Subject' }, 'dkim_from_unsigned', 'From is not signed'],
    [{ h: 'Fromm:X-From' }, 'dkim_from_unsigned', 'almost From'],
    [{ l: '0' }, 'dkim_body_length', 'l='],
    [{ l: '999999999' }, 'dkim_body_length', 'l= beyond the end'],
    [{ i: '@example.com' }, 'dkim_malformed', 'an identity elsewhere'],
    [{ i: '@notexample.org' }, 'dkim_malformed', 'a domain that ends alike'],
    [{ i: 'example.org' }, 'dkim_malformed', 'an identity without @'],
    [{ t: 'now' }, 'dkim_malformed', 'no time'],
    [{ t: '-1' }, 'dkim_malformed', 'a time below zero'],
    [{ x: '1234567890123' }, 'dkim_malformed', 'a time too long'],
    [{ t: '5', x: '5' }, 'dkim_malformed', 'expired when signed'],
    [{ q: 'http' }, 'dkim_malformed', 'a key that is not in DNS'],
  ];
  for (const [changes, outcome, why] of rows) {
    const result = parseSignature(value(changes));
    t.equal(result.ok ? 'ok' : result.fault, outcome, why);
    if (!result.ok) t.equal(result.domain, 'example.org', `${why}: whose it is, is still known`);
  }
  const unreadable = parseSignature(value({ d: 'not a domain' }));
  t.match(unreadable, { ok: false, domain: undefined, fault: 'dkim_malformed' });
  t.match(parseSignature(`${value()};d=other.example`), { ok: false, domain: undefined }, 'd= twice is nobody');
});

t.test('what is read', async (t) => {
  const result = parseSignature(
    value({ c: 'relaxed', d: 'Example.ORG', h: ' From :\n to', t: '10', x: '20', i: 'x@A.example.org' }),
  );
  t.match(result, {
    ok: true,
    signature: {
      algorithm: 'rsa-sha256',
      domain: 'example.org',
      selector: 'sel',
      headerForm: 'relaxed',
      bodyForm: 'simple',
      fieldNames: ['from', 'to'],
      identityDomain: 'a.example.org',
      signedAt: 10,
      expiresAt: 20,
    },
  });
});

t.test('b= is taken out and nothing else', async (t) => {
  const cut = (text: string) => {
    const result = parseSignature(text);
    return result.ok ? result.signature.unsignedValue : result.fault;
  };
  const { b: _, ...rest } = BASE;
  const others = Object.entries(rest)
    .map(([name, text]) => `${name}=${text}`)
    .join('; ');
  t.equal(cut(` ${others}; b=YWJj`), ` ${others}; b=`, 'at the end');
  t.equal(cut(` ${others};\n b= YWJj\n YWJj ; x=1`), ` ${others};\n b=; x=1`, 'with the blanks around it');
  t.equal(cut(`b=YWJj;${others}`), `b=;${others}`, 'at the beginning');
  t.equal(cut(`${others}; b = YWJj;`), `${others}; b =;`, 'with a blank before the equals sign');
});

t.test('domains that can be compared', async (t) => {
  for (const [domain, ascii] of [
    ['Example.ORG', 'example.org'],
    ['m\u00fcnchen.example', 'xn--mnchen-3ya.example'],
    ['_x.example', '_x.example'],
    ['a b', undefined],
    ['', undefined],
  ] as const) {
    t.equal(asciiDomain(domain), ascii, domain);
  }
});
