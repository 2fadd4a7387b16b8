/** Command lines of both protocol versions. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { type Command, type DictVersion, decodeCommand, encodeCommand } from '../src/command.ts';
import type { DictProtocolError } from '../src/errors.ts';

const latin1 = (text: string) => Buffer.from(text, 'latin1');
const empty = Buffer.alloc(0);

t.test('the command table', (t) => {
  const rows: [DictVersion, string, Command, string][] = [
    [
      3,
      'H3\t2\t0\t\tmetadata',
      { type: 'hello', version: 3, minor: 2, valueType: 0, user: empty, dictName: latin1('metadata') },
      'captured from 2.3.19',
    ],
    [
      4,
      'H4\t0\t0\t\tmetadata',
      { type: 'hello', version: 4, minor: 0, valueType: 0, user: empty, dictName: latin1('metadata') },
      'captured from 2.4.1',
    ],
    [
      3,
      'Lshared/passdb/p\xff"u@x\tu@x',
      { type: 'lookup', key: latin1('shared/passdb/p\xff"u@x'), user: latin1('u@x') },
      'a password is bytes',
    ],
    [3, 'Lkey', { type: 'lookup', key: latin1('key'), user: empty }, 'no user before 2.3.17'],
    [3, 'L', { type: 'lookup', key: empty, user: empty }, 'no field at all'],
    [3, 'La\x01tb\tu\textra', { type: 'lookup', key: latin1('a\tb'), user: latin1('u') }, 'extra fields are ignored'],
    [
      3,
      'I9\t10\tpriv/g/\tu@x',
      { type: 'iterate', flags: 9, maxRows: 10, path: latin1('priv/g/'), user: latin1('u@x') },
      'all fields',
    ],
    [3, 'I', { type: 'iterate', flags: 0, maxRows: 0, path: empty, user: empty }, 'missing counts are 0'],
    [3, 'B1\tu@x', { type: 'begin', id: 1, user: latin1('u@x'), expireSecs: 0 }, '2.3 has no expiry'],
    [3, 'B1\tu@x\t60', { type: 'begin', id: 1, user: latin1('u@x'), expireSecs: 0 }, 'and none is read'],
    [4, 'B1\tu@x\t60', { type: 'begin', id: 1, user: latin1('u@x'), expireSecs: 60 }, '2.4 has one'],
    [4, 'B1\tu@x', { type: 'begin', id: 1, user: latin1('u@x'), expireSecs: 0 }, 'that may be missing'],
    [
      3,
      'S10\tk\tline1\x01r\x01n\x01t\x011x',
      { type: 'set', id: 10, key: latin1('k'), value: latin1('line1\r\n\t\x01x') },
      'escaped value',
    ],
    [3, 'S1\tk\t', { type: 'set', id: 1, key: latin1('k'), value: empty }, 'empty value (messagenew)'],
    [3, 'S1\tk', { type: 'set', id: 1, key: latin1('k'), value: empty }, 'missing value'],
    [3, 'U1\tk', { type: 'unset', id: 1, key: latin1('k') }, 'remove a key'],
    [3, 'A1\tk\t-3', { type: 'increment', id: 1, key: latin1('k'), diff: -3n }, 'signed'],
    [
      3,
      'A1\tk\t-9223372036854775808',
      { type: 'increment', id: 1, key: latin1('k'), diff: -(2n ** 63n) },
      'the lowest long long',
    ],
    [3, 'T1\t1795321111\t5', { type: 'timestamp', id: 1, secs: 1795321111, nanos: 5 }, 'time of the write'],
    [4, 'V1\tyes', { type: 'hideLogValues', id: 1, hide: true }, '2.4 only'],
    [4, 'V1\tno', { type: 'hideLogValues', id: 1, hide: false }, 'and off again'],
    [3, 'V1\tyes', { type: 'unknown', letter: 'V' }, 'unknown to 2.3'],
    [3, 'R1', { type: 'rollback', id: 1 }, 'nothing but an id'],
    [3, 'C4294967295', { type: 'commit', id: 4294967295 }, 'the highest 32-bit id'],
    [3, 'D1', { type: 'unknown', letter: 'D' }, 'asynchronous commit: nobody sends it'],
    [3, 'X\tanything', { type: 'unknown', letter: 'X' }, 'a letter of no version'],
    [3, '\xffabc', { type: 'unknown', letter: '\xff' }, 'no ASCII letter'],
    [3, '', { type: 'unknown', letter: '' }, 'an empty line'],
  ];
  for (const [version, line, command, why] of rows) t.strictSame(decodeCommand(latin1(line), version), command, why);
  t.end();
});

t.test('numbers that are none', (t) => {
  const lines: [string, string][] = [
    ['C', 'no id'],
    ['Cx', 'a letter'],
    ['C-1', 'a sign'],
    ['C1 ', 'a space'],
    ['C1234567890123456', 'more digits than are exact'],
    ['Ix\t0\tp', 'flags'],
    ['I0\t-1\tp', 'count'],
    ['S\tk\tv', 'no id'],
    ['A1\tk\t', 'no difference'],
    ['A1\tk\t+1', 'plus sign'],
    ['A1\tk\t1.5', 'fraction'],
    ['A1\tk\t9223372036854775808', 'over 64 bits'],
    ['A1\tk\t00000000000000000000000001', 'over 20 characters'],
    ['H\t2', 'no version'],
  ];
  for (const [line, why] of lines) t.throws(() => decodeCommand(latin1(line), 4), { code: 'bad-number' }, why);
  t.end();
});

const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));
const id = fc.integer({ min: 0, max: 2 ** 32 - 1 });
/** With the prototype that decoded commands have. */
const record = (model: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<Command>;
const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  record({ type: fc.constant('lookup'), key: bytes, user: bytes }),
  record({ type: fc.constant('iterate'), flags: id, maxRows: id, path: bytes, user: bytes }),
  record({ type: fc.constant('begin'), id, user: bytes, expireSecs: id }),
  record({ type: fc.constant('set'), id, key: bytes, value: bytes }),
  record({ type: fc.constant('unset'), id, key: bytes }),
  record({ type: fc.constant('increment'), id, key: bytes, diff: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) }),
  record({ type: fc.constant('timestamp'), id, secs: id, nanos: id }),
  record({ type: fc.constant('hideLogValues'), id, hide: fc.boolean() }),
  record({ type: fc.constant('rollback'), id }),
  record({ type: fc.constant('commit'), id }),
  record({ type: fc.constant('hello'), version: id, minor: id, valueType: id, user: bytes, dictName: bytes }),
);

t.test('every command survives encoding and decoding', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(anyCommand, (command) => {
        const line = encodeCommand(command, 4);
        assert.equal(line.indexOf('\n'), line.length - 1);
        assert.deepEqual(decodeCommand(line.subarray(0, -1), 4), command);
      }),
    ),
  );
  t.equal(encodeCommand({ type: 'begin', id: 1, user: latin1('u'), expireSecs: 9 }, 3).toString(), 'B1\tu\n');
  t.end();
});

t.test('any line is a command or a bad number', (t) => {
  const letters = fc.constantFrom(...'HLIBSUATVRCDX\t\n'.split(''));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        letters,
        fc.uint8Array({ maxLength: 60 }),
        fc.constantFrom<DictVersion>(3, 4),
        (letter, rest, version) => {
          try {
            decodeCommand(Buffer.concat([latin1(letter), rest]), version);
          } catch (error) {
            assert.equal((error as DictProtocolError).code, 'bad-number');
          }
        },
      ),
    ),
  );
  const tabs = Buffer.alloc(1024 * 1024, '\t');
  tabs[0] = 'S'.charCodeAt(0);
  t.throws(() => decodeCommand(tabs, 3), { code: 'bad-number' }, 'a million fields are not made');
  t.end();
});
