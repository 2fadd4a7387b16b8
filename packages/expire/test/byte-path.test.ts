import fc from 'fast-check';
import t from 'tap';
import { formatPath, fromText, toSystemPath } from '../src/byte-path.ts';

t.test('paths for people', async (t) => {
  const rows: [bytes: number[], text: string, why: string][] = [
    [[...Buffer.from('/m/a@x.org')], '/m/a@x.org', 'plain'],
    [[...Buffer.from('/m/bü@x.org')], '/m/bü@x.org', 'UTF-8'],
    [[0x61, 0x0a, 0x1b, 0x62], 'a\\x0a\\x1bb', 'what would garble a terminal'],
    [[0x61, 0xff, 0xc3], 'a\\xff\\xc3', 'no UTF-8'],
    [[0x61, 0x5c, 0x78], 'a\\x5cx', 'a backslash is escaped too, or the others would be ambiguous'],
  ];
  for (const [bytes, text, why] of rows) t.equal(formatPath(Buffer.from(bytes).toString('latin1')), text, why);
});

t.test('property: bytes survive, and what is shown is one line', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const path = Buffer.from(bytes).toString('latin1');
      return Buffer.from(toSystemPath(path) as string).equals(bytes) && !/[\x00-\x1f\x7f-\x9f]/.test(formatPath(path));
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) =>
      Buffer.from(toSystemPath(fromText(text)) as string).equals(Buffer.from(text)),
    ),
  );
  t.pass('fast-check throws on a counterexample');
});
