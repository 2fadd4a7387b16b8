import fc from 'fast-check';
import t from 'tap';
import { parseMaildirName } from '../src/maildir-name.ts';

t.test('names of Dovecot', async (t) => {
  const rows: [name: string, second: number | undefined, bytes: number | undefined, why: string][] = [
    ['1775324677.M448978P3029757.mx,S=3235,W=3305:2,S', 1775324677, 3235, 'delivered and seen'],
    ['1775324677.M448978P3029757.mx,S=3235,W=3305', 1775324677, 3235, 'in new/'],
    ['1775324677.M448978P3029757.mx,S=3235:2,', 1775324677, 3235, 'without W='],
    ['1775324677.M448978P3029757.mx,W=3305,S=3235', 1775324677, 3235, 'the other order'],
    ['1775324677.M448978P3029757Q2R0123.mx,S=0', 1775324677, 0, 'an empty message'],
    ['1775324677.M448978P3029757.mx:2,S', undefined, undefined, 'no size'],
    ['1775324677.M1P2.mx:2,S=5', undefined, undefined, 'flags are no size'],
    ['1775324677.M1P2.mx,S=12x', undefined, undefined, 'no number'],
    ['1775324677.M1P2.mx,S=', undefined, undefined, 'no digits'],
    ['1775324677.M1P2.mx,S=-5', undefined, undefined, 'a sign'],
    ['1775324677.M1P2.mx,S=99999999999999999999', undefined, undefined, 'more bytes than there are'],
    ['1775324677,S=5', undefined, undefined, 'no dot after the time'],
    ['0.M1P2.mx,S=5', undefined, undefined, 'a time that was lost'],
    ['999999999.M1P2.mx,S=5', undefined, undefined, 'before any mailbox'],
    ['1000000000.M1P2.mx,S=5', 1000000000, 5, 'the first second believed'],
    ['9999999999.M1P2.mx,S=5', 9999999999, 5, 'the last one: the plan decides about the future'],
    ['10000000000.M1P2.mx,S=5', undefined, undefined, 'milliseconds or worse'],
    ['1775324677.M1P2.\xff\xfe,S=7:2,', 1775324677, 7, 'a host name that is no UTF-8'],
    ['', undefined, undefined, 'nothing'],
    ['.', undefined, undefined, 'a dot'],
    ['.1775324677.mx,S=5', undefined, undefined, 'hidden'],
    ['message.eml', undefined, undefined, 'put there by hand'],
  ];
  for (const [name, second, bytes, why] of rows) {
    const expected = second === undefined ? undefined : { arrivedAtMs: second * 1000, bytes };
    t.same(parseMaildirName(name), expected, why);
  }
});

t.test('property: any name is read or not, and what Dovecot writes always is', async (t) => {
  // fast-check's own unit 'binary' takes a second to set up.
  const unit = fc.oneof(fc.nat(0x7f), fc.nat(0x10_ffff)).map((code) => String.fromCodePoint(code));
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 300 }), (name) => {
      const facts = parseMaildirName(name);
      return facts === undefined || (Number.isSafeInteger(facts.arrivedAtMs) && Number.isSafeInteger(facts.bytes));
    }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1e9, max: 9_999_999_999 }), fc.nat(), fc.nat(), (second, micro, bytes) => {
      const facts = parseMaildirName(`${second}.M${micro}P1.host.example,S=${bytes},W=${bytes}:2,FRS`);
      return facts?.arrivedAtMs === second * 1000 && facts.bytes === bytes;
    }),
  );
  t.pass('fast-check throws on a counterexample');
});
