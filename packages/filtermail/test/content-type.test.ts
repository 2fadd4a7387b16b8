import t from 'tap';
import { parseContentType, readBoundary } from '../src/content-type.ts';

function parse(value: string): string {
  const parsed = parseContentType(value);
  if (!parsed.ok) return parsed.fault.code;
  return [parsed.value.type, ...[...parsed.value.parameters].map(([name, text]) => `${name}=${text}`)].join(' ');
}

t.test('parseContentType', (t) => {
  const rows: readonly [value: string, result: string, why: string][] = [
    ['multipart/encrypted', 'multipart/encrypted', 'bare'],
    [
      ' Multipart/ENCRYPTED ; Protocol="application/pgp-encrypted";\n\tboundary=abc',
      'multipart/encrypted protocol=application/pgp-encrypted boundary=abc',
      'folded, any case',
    ],
    ['a/b; x="a\\"b;c"', 'a/b x=a"b;c', 'quoted'],
    ['a/b; x=1;', 'a/b x=1', 'ends with a semicolon'],
    ['a/b; boundary=----=_Part/1', 'a/b boundary=----=_Part/1', 'unquoted, more than a token: all readers agree'],
    ["a/b; name*=utf-8''x", "a/b name*=utf-8''x", 'RFC 2231 of a name'],
    ['a/b; boundary=x; boundary=y', 'parameter_repeated', 'two boundaries'],
    ['a/b; boundary=x; BOUNDARY=x', 'parameter_repeated', 'the same twice is twice'],
    ['a/b; boundary*0=x; boundary*1=y', 'content_type_malformed', 'a boundary in pieces'],
    ["a/b; boundary*=utf-8''x", 'content_type_malformed', 'an encoded boundary'],
    ['a/b (comment); x=1', 'content_type_malformed', 'a comment'],
    ['a/b; x=1 (comment)', 'content_type_malformed', 'a comment after a value'],
    ['a/b; x="1', 'content_type_malformed', 'a quoted string without an end'],
    ['a/b; x="1\0"', 'content_type_malformed', 'NUL'],
    ['a/b; x="1"y', 'content_type_malformed', 'text after a quoted string'],
    ['a/b; x', 'content_type_malformed', 'no value'],
    ['a/b; =1', 'content_type_malformed', 'no name'],
    ['a/b; x=""', 'content_type_malformed', 'an empty value'],
    ['a/b; x=\xe9', 'content_type_malformed', 'not ASCII'],
    ['a', 'content_type_malformed', 'no subtype'],
    ['a/', 'content_type_malformed', 'an empty subtype'],
    ['', 'content_type_malformed', 'empty'],
    ['a/b, c/d', 'content_type_malformed', 'two types'],
    [`a/b; x=${'y'.repeat(3000)}`, 'content_type_malformed', 'too long'],
  ];
  for (const [value, result, why] of rows) t.equal(parse(value), result, why);
  t.end();
});

t.test('readBoundary', (t) => {
  const rows: readonly [boundary: string | undefined, ok: boolean, why: string][] = [
    ['b', true, 'one character'],
    ["a'()+_,-./:=? z", true, 'all characters allowed'],
    ['x'.repeat(70), true, 'the longest'],
    ['x'.repeat(71), false, 'too long'],
    ['x ', false, 'a blank at its end'],
    ['a"b', false, 'a character not allowed'],
    ['a\r\nb', false, 'a line end'],
    [undefined, false, 'none'],
  ];
  for (const [boundary, ok, why] of rows) {
    t.equal(readBoundary(new Map(boundary === undefined ? [] : [['boundary', boundary]])).ok, ok, why);
  }
  t.end();
});
