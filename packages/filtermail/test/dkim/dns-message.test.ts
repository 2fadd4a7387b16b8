import fc from 'fast-check';
import t from 'tap';
import { decodeTxtAnswer, encodeTxtQuery } from '../../src/dkim/dns-message.ts';

const NAME = 'sel._domainkey.example.org';
const QUERY = encodeTxtQuery(0x1234, NAME)!;
const QUESTION = QUERY.subarray(12, QUERY.length - 11);
const uint16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);

/** An answer with those records, each from its owner on. */
function answer(records: readonly Buffer[], { flags = 0x8180, id = 0x1234, count = records.length } = {}): Buffer {
  const head = [uint16(id), uint16(flags), uint16(1), uint16(count), uint16(0), uint16(0)];
  return Buffer.concat([...head, QUESTION, ...records]);
}

function record(owner: Buffer, type: number, ttl: number, data: Buffer): Buffer {
  const ttlBytes = Buffer.alloc(4);
  ttlBytes.writeUInt32BE(ttl);
  return Buffer.concat([owner, uint16(type), uint16(1), ttlBytes, uint16(data.length), data]);
}

const OWNER = Buffer.from([0xc0, 12]);
const txt = (text: string, ttl = 60) =>
  record(OWNER, 16, ttl, Buffer.from(String.fromCharCode(text.length) + text, 'latin1'));
const decode = (bytes: Buffer) => decodeTxtAnswer(bytes, 0x1234, NAME);

t.test('queries', async (t) => {
  t.equal(
    QUERY.toString('latin1'),
    '\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03sel\x0a_domainkey\x07example\x03org\0\0\x10\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0',
  );
  t.equal(encodeTxtQuery(1, 'a..b'), undefined, 'an empty label');
  t.equal(encodeTxtQuery(1, `${'a'.repeat(64)}.org`), undefined, 'a label too long');
  t.equal(encodeTxtQuery(1, Array(64).fill('abc').join('.')), undefined, 'a name too long');
  t.ok(encodeTxtQuery(1, `${Array(63).fill('abc').join('.')}.a`), 'a name of 253 bytes');
});

t.test('answers', async (t) => {
  t.match(decode(answer([txt('one'), txt('two', 30)])), {
    texts: ['one', 'two'],
    ttlSeconds: 30,
    target: NAME,
    rcode: 0,
  });
  const strings = record(OWNER, 16, 5, Buffer.from('\x02ab\x00\x02cd', 'latin1'));
  t.match(decode(answer([strings])), { texts: ['abcd'] }, 'strings of a record are joined');
  t.match(decode(answer([record(OWNER, 16, 0x8000_0001, Buffer.from('\x01a'))])), { ttlSeconds: 0 }, 'RFC 2181 §8');
  const otherOwner = record(Buffer.from('\x05other\0', 'latin1'), 16, 5, Buffer.from('\x01x'));
  t.match(decode(answer([otherOwner, txt('one')])), { texts: ['one'] }, 'records of other names');
  t.match(decode(answer([], { flags: 0x8183 })), { texts: [], rcode: 3 }, 'no such name');
  t.match(decode(answer([txt('one')], { flags: 0x8380 })), { texts: [], isTruncated: true }, 'cut off');
  const alias = record(OWNER, 5, 20, Buffer.from('\x01k\x07Example\x03net\0', 'latin1'));
  t.match(decode(answer([alias])), { texts: [], target: 'k.example.net', ttlSeconds: 20 }, 'an alias');
  const there = record(Buffer.from('\x01K\x07example\x03net\0', 'latin1'), 16, 60, Buffer.from('\x01x'));
  t.match(decode(answer([there, alias])), { texts: ['x'], ttlSeconds: 20 }, 'an alias and what is there');
  const circle = record(OWNER, 5, 20, OWNER);
  t.match(decode(answer([circle])), { texts: [], target: NAME }, 'an alias of itself');
});

t.test('what is no answer', async (t) => {
  const whole = answer([txt('one')]);
  const rows: readonly [bytes: Buffer, why: string][] = [
    [answer([txt('one')], { id: 0x1235 }), 'another id'],
    [answer([txt('one')], { flags: 0x0100 }), 'a query'],
    [answer([txt('one')], { flags: 0x9180 }), 'another operation'],
    [answer([txt('one')], { count: 2 }), 'fewer records than announced'],
    [Buffer.concat([whole.subarray(0, 13), Buffer.from('x'), whole.subarray(14)]), 'another question'],
    [answer([record(Buffer.from([0xc0, 0xff]), 16, 1, Buffer.from('\x01a'))]), 'a name beyond the end'],
    [answer([record(OWNER, 16, 1, Buffer.from('\x05a'))]), 'a string beyond its record'],
    [answer([record(OWNER, 5, 1, Buffer.from([0xc0, 12 + QUESTION.length + 12]))]), 'a name that points at itself'],
    [Buffer.alloc(0), 'nothing'],
  ];
  for (const [bytes, why] of rows) t.equal(decode(bytes), undefined, why);
  for (let length = 0; length < whole.length; length++)
    t.equal(decode(whole.subarray(0, length)), undefined, `${length} bytes`);
});

t.test('any bytes end in an answer or in none', async (t) => {
  const tail = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(tail, fc.nat(70), (bytes, count) => {
      decode(answer([Buffer.from(bytes)], { count }));
      decode(Buffer.from(bytes));
    }),
    { numRuns: 2000 },
  );
  t.pass('4000 messages');
});
