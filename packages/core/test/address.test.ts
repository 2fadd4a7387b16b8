import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { isAddressLiteral, isIpv4, mailboxPath, parseAddress, parseDomain } from '#core';

t.test('parseAddress', async (t) => {
  const rows: [text: string, parsed: string | undefined, why: string][] = [
    ['a@example.org', 'a@example.org', 'the plain case'],
    ['ABC.def@Example.ORG', 'abc.def@example.org', 'ASCII letters are case-insensitive'],
    ['a@[203.0.113.7]', 'a@[203.0.113.7]', 'IPv4 literal'],
    ['a@[IPv6:2001:DB8::1]', 'a@[ipv6:2001:db8::1]', 'IPv6 literal, tag and digits lowered'],
    ['a@_relay.example', 'a@_relay.example', 'self-signed relays have names that begin with an underscore'],
    ['a+b@example.org', 'a+b@example.org', 'detail separators belong to the local part'],
    ['jürgen@exämple.org', 'jürgen@exämple.org', 'UTF-8 (RFC 6531)'],
    ['Ä@example.org', 'Ä@example.org', 'only ASCII letters are lowered'],
    ['', undefined, 'empty'],
    ['a', undefined, 'no domain'],
    ['@example.org', undefined, 'no local part'],
    ['a@', undefined, 'empty domain'],
    ['a@b@example.org', undefined, 'two at signs'],
    ['<a@example.org>', undefined, 'brackets are not part of an address'],
    ['../x@example.org', undefined, 'a slash would leave the directory'],
    ['a/b@example.org', undefined, 'a slash anywhere'],
    ['a@ex/ample.org', undefined, 'a slash in the domain'],
    ['.a@example.org', '.a@example.org', 'existing relays allow a leading dot'],
    ['..@example.org', '..@example.org', 'dots alone are a name of their own with the domain behind them'],
    ['a..b@example.org', 'a..b@example.org', 'existing relays allow dots in a row'],
    ['a.@example.org', 'a.@example.org', 'existing relays allow a trailing dot'],
    ['a b@example.org', undefined, 'space'],
    ['a\0@example.org', undefined, 'NUL'],
    ['a\n@example.org', undefined, 'line feed'],
    ['a\u0085@example.org', undefined, 'C1 control'],
    ['"a b"@example.org', undefined, 'quoted local parts are not supported'],
    ['@relay:a@example.org', undefined, 'source route'],
    ['a(comment)@example.org', undefined, 'comment'],
    ['a@example..org', undefined, 'empty label'],
    ['a@example.org.', undefined, 'trailing dot of a domain'],
    ['a@-example.org', undefined, 'label begins with a hyphen'],
    ['a@[300.0.0.1]', undefined, 'no octet'],
    ['a@[1.2.3]', undefined, 'three octets'],
    ['a@[01.2.3.4]', undefined, 'leading zero'],
    ['a@[2001:db8::1]', undefined, 'IPv6 without its tag'],
    ['a@[IPv6:zz::1]', undefined, 'no IPv6 address'],
    ['a@[IPv6:fe80::1%eth0]', undefined, 'zone id'],
    ['a@[203.0.113.7', undefined, 'unclosed bracket'],
    [`${'a'.repeat(64)}@example.org`, `${'a'.repeat(64)}@example.org`, 'longest local part'],
    [`${'a'.repeat(65)}@example.org`, undefined, 'local part too long'],
    [`${'ü'.repeat(33)}@example.org`, undefined, 'lengths are bytes'],
    [`a@${'b'.repeat(63)}.org`, `a@${'b'.repeat(63)}.org`, 'longest label'],
    [`a@${'b'.repeat(64)}.org`, undefined, 'label too long'],
    [`a@${'b.'.repeat(126)}org`, undefined, 'address too long'],
  ];
  for (const [text, parsed, why] of rows) t.equal(parseAddress(text)?.text, parsed, why);
});

t.test('an address always names a directory directly below the mailboxes, and parses to itself', async (t) => {
  // fast-check's own unit 'binary' takes a second to set up.
  const unit = fc.oneof(fc.nat(0x7f), fc.nat(0x10_ffff)).map((code) => String.fromCodePoint(code));
  const tail = fc.constantFrom('', '@', '@example.org', '@[127.0.0.1]', '@[ipv6:::1]');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit }), tail, (head, end) => {
        const address = parseAddress(head + end);
        if (!address) return;
        const { text } = address;
        assert.ok(/^[^/\0]*@[^/\0]*$/.test(text) && Buffer.byteLength(text) <= 254, text);
        assert.equal(mailboxPath('/mail', address), `/mail/${text}`);
        assert.deepEqual(parseAddress(text), address);
      }),
      { numRuns: 2000 },
    ),
  );
});

t.test('domains', async (t) => {
  t.equal(parseDomain('Example.ORG'), 'example.org');
  t.equal(parseDomain(''), undefined);
  t.equal(parseDomain('[127.0.0.1]'), '[127.0.0.1]');
  t.equal(isAddressLiteral('[127.0.0.1]'), true);
  t.equal(isAddressLiteral('example.org'), false);
  for (const text of ['0.0.0.0', '255.255.255.255', '203.0.113.7']) t.equal(isIpv4(text), true, text);
  for (const text of ['256.1.1.1', '1.1.1', '1.1.1.1.1', '1.1.1.1 ', '', '1.1.1.', '٣.1.1.1'])
    t.equal(isIpv4(text), false, text);
});
