import fc from 'fast-check';
import t from 'tap';
import { parseFrom } from '../src/from-field.ts';

const show = (value: string) => {
  const result = parseFrom(Buffer.from(value).toString('latin1'));
  return result.ok ? result.address.text : result.reason;
};

t.test('parseFrom', (t) => {
  const rows: readonly [value: string, result: string, why: string][] = [
    ['alice@example.org', 'alice@example.org', 'bare'],
    ['<alice@example.org>', 'alice@example.org', 'in angle brackets'],
    ['Alice Smith <Alice@Example.ORG>', 'alice@example.org', 'with a name'],
    ['"Smith, Alice" <alice@example.org>', 'alice@example.org', 'a comma in quotes'],
    ['"bob@evil.example" <alice@example.org>', 'alice@example.org', 'an address in quotes is a name'],
    ['"a \\" <b@c>" <alice@example.org>', 'alice@example.org', 'a quote in quotes'],
    ['alice@example.org (Alice <x@y>)', 'alice@example.org', 'a comment'],
    ['(nested (comment)) alice@example.org', 'alice@example.org', 'nested comments'],
    ['=?utf-8?q?Al=2Cice?= <alice@example.org>', 'alice@example.org', 'an encoded word'],
    ['Älice\n <älice@example.org>', 'älice@example.org', 'UTF-8, folded'],
    ['J. R. "Bob" Dobbs <a@example.org>', 'a@example.org', 'an unquoted dot'],
    ['a@[203.0.113.7]', 'a@[203.0.113.7]', 'an address literal'],
    ['a@[IPv6:2001:db8::1]', 'a@[ipv6:2001:db8::1]', 'an IPv6 literal, bare'],
    ['A <a@[IPv6:2001:db8::1]>', 'a@[ipv6:2001:db8::1]', 'an IPv6 literal'],
    ['a@x.org, b@x.org', 'from_not_one_address', 'two addresses'],
    ['A <a@x.org>, B <b@x.org>', 'from_not_one_address', 'two with names'],
    ['<a@x.org> <b@x.org>', 'from_not_one_address', 'two in brackets'],
    ['b@x.org <a@x.org>', 'from_not_one_address', 'an address as an unquoted name'],
    ['<a@x.org> b@x.org', 'from_not_one_address', 'an address after it'],
    ['friends: a@x.org;', 'from_not_one_address', 'a group'],
    ['undisclosed:;', 'from_not_one_address', 'an empty group'],
    ['a@x.org;', 'from_not_one_address', 'a list by semicolon'],
    ['"a"@x.org', 'from_malformed', 'a quoted local part'],
    ['a(comment)@x.org', 'from_malformed', 'a comment inside an address'],
    ['<@relay:a@x.org>', 'from_malformed', 'a source route'],
    ['Alice', 'from_malformed', 'no address'],
    ['', 'from_malformed', 'empty'],
    ['<>', 'from_malformed', 'the null address'],
    ['<a@x.org', 'from_malformed', 'a bracket that does not close'],
    ['a@x.org>', 'from_malformed', 'a bracket that does not open'],
    ['"a <a@x.org>', 'from_malformed', 'a quote that does not close'],
    ['(a <a@x.org>', 'from_malformed', 'a comment that does not close'],
    ['<a@x.org> Alice', 'from_malformed', 'text after the address'],
    ['a b@x.org', 'from_malformed', 'a blank inside'],
    ['a\0@x.org', 'from_malformed', 'NUL'],
    [`${'('.repeat(20)}${')'.repeat(20)} a@x.org`, 'from_malformed', 'deep comments'],
    [`${'x'.repeat(5000)} <a@x.org>`, 'from_malformed', 'too long'],
  ];
  for (const [value, result, why] of rows) t.equal(show(value), result, why);
  t.end();
});

t.test('never throws, and an address found is in the value', (t) => {
  const chars = fc.constantFrom(
    'a',
    '@',
    '<',
    '>',
    '"',
    '\\',
    '(',
    ')',
    ',',
    ':',
    ';',
    '.',
    ' ',
    '\n',
    'é',
    '[',
    ']',
    '1',
  );
  fc.assert(
    fc.property(fc.array(chars, { maxLength: 40 }), (text) => {
      const result = parseFrom(text.join(''));
      return !result.ok || text.join('').includes('@');
    }),
    { numRuns: 2000 },
  );
  t.pass('2000 values');
  t.end();
});
