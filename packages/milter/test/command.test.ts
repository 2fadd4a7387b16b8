/** Every command's data, and what is not such data. */

import fc from 'fast-check';
import t from 'tap';
import { decodeCommand } from '../src/command.ts';
import { MilterProtocolError } from '../src/errors.ts';
import * as P from '../src/protocol.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

t.test('commands', async (t) => {
  const cases: readonly (readonly [command: number, data: string, expected: object, why: string])[] = [
    [
      P.SMFIC_OPTNEG,
      '\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff',
      { type: 'negotiate', offer: { version: 6, actions: 0x1ff, steps: 0x1fffff } },
      'as Postfix sends it',
    ],
    [
      P.SMFIC_OPTNEG,
      '\0\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xffmore',
      { type: 'negotiate', offer: { version: 7, actions: 0xffff_ffff, steps: 0xffff_ffff } },
      'a later version may add bits and fields',
    ],
    [P.SMFIC_MACRO, 'H', { type: 'macros', stage: P.SMFIC_HELO, bytes: bytes('') }, 'a stage without macros'],
    [P.SMFIC_MACRO, 'Ri\0Q1\0', { type: 'macros', stage: P.SMFIC_RCPT, bytes: bytes('i\0Q1\0') }, 'one macro'],
    [
      P.SMFIC_CONNECT,
      'mail.test\x004\xbe\xa4192.0.2.1\0',
      { type: 'connect', client: { hostname: 'mail.test', family: 'inet', address: '192.0.2.1', port: 0xbea4 } },
      'IPv4',
    ],
    [
      P.SMFIC_CONNECT,
      '[2001:db8::1]\x006\0\x192001:db8::1\0',
      { type: 'connect', client: { hostname: '[2001:db8::1]', family: 'inet6', address: '2001:db8::1', port: 25 } },
      'IPv6',
    ],
    [
      P.SMFIC_CONNECT,
      'localhost\0L\0\0/run/x\0',
      { type: 'connect', client: { hostname: 'localhost', family: 'unix', address: '/run/x', port: 0 } },
      'Unix socket',
    ],
    [
      P.SMFIC_CONNECT,
      'localhost\0U',
      { type: 'connect', client: { hostname: 'localhost', family: 'unknown', address: '', port: 0 } },
      'no address known',
    ],
    [P.SMFIC_HELO, 'client.test\0', { type: 'helo', name: 'client.test' }, 'a name'],
    [P.SMFIC_HELO, '\0', { type: 'helo', name: '' }, 'an empty name'],
    [P.SMFIC_MAIL, '<>\0', { type: 'mail', sender: '<>', parameters: [] }, 'null sender'],
    [P.SMFIC_MAIL, '\0', { type: 'mail', sender: '', parameters: [] }, 'null sender of mail that did not come by SMTP'],
    [
      P.SMFIC_MAIL,
      '<a@x>\0SIZE=5\0BODY=8BITMIME\0',
      { type: 'mail', sender: '<a@x>', parameters: ['SIZE=5', 'BODY=8BITMIME'] },
      'parameters',
    ],
    [
      P.SMFIC_RCPT,
      '<\xc3\xbc@x>\0',
      { type: 'recipient', recipient: '<\xc3\xbc@x>', parameters: [] },
      'UTF-8 stays bytes',
    ],
    [P.SMFIC_DATA, '', { type: 'data' }, 'no data'],
    [P.SMFIC_HEADER, 'Subject\0a\n b\0', { type: 'header', name: 'Subject', value: 'a\n b' }, 'folded'],
    [P.SMFIC_HEADER, 'Subject\0\0', { type: 'header', name: 'Subject', value: '' }, 'empty value'],
    [P.SMFIC_EOH, '', { type: 'endOfHeaders' }, 'no data'],
    [P.SMFIC_BODYEOB, '', { type: 'endOfMessage', body: bytes('') }, 'as Postfix sends it'],
    [P.SMFIC_BODYEOB, 'end', { type: 'endOfMessage', body: bytes('end') }, 'with the rest of the body'],
    [P.SMFIC_UNKNOWN, 'FOO bar\0', { type: 'unknown', line: 'FOO bar' }, 'a command line'],
    [P.SMFIC_ABORT, '', { type: 'abort' }, 'no data'],
    [P.SMFIC_QUIT, '', { type: 'quit' }, 'no data'],
    [P.SMFIC_QUIT_NC, '', { type: 'nextClient' }, 'no data'],
  ];
  for (const [command, data, expected, why] of cases) {
    t.strictSame(decodeCommand(command, bytes(data)), expected, `${P.COMMAND_NAMES.get(command)}: ${why}`);
  }
});

t.test('malformed commands', async (t) => {
  const cases: readonly (readonly [command: number, data: string, why: string])[] = [
    [P.SMFIC_OPTNEG, '\0\0\0\x06\0\0\x01\xff\0\x1f\xff', 'one byte short'],
    [P.SMFIC_MACRO, '', 'no stage'],
    [P.SMFIC_MACRO, 'Ri\0Q1', 'no NUL at the end'],
    [P.SMFIC_CONNECT, '', 'nothing'],
    [P.SMFIC_CONNECT, 'host', 'no NUL'],
    [P.SMFIC_CONNECT, 'host\0', 'no family'],
    [P.SMFIC_CONNECT, 'host\x005\0\x19192.0.2.1\0', 'no such family'],
    [P.SMFIC_CONNECT, 'host\x004\0', 'half a port'],
    [P.SMFIC_CONNECT, 'host\x004\0\x19', 'no address'],
    [P.SMFIC_CONNECT, 'host\x004\0\x19192.0.2.1', 'no NUL after the address'],
    [P.SMFIC_HELO, '', 'no string'],
    [P.SMFIC_HELO, 'a\0b\0', 'two strings'],
    [P.SMFIC_MAIL, '', 'no string'],
    [P.SMFIC_MAIL, '<a@x>', 'no NUL'],
    [P.SMFIC_RCPT, '<a@x>\0ORCPT=x', 'no NUL after the parameter'],
    [P.SMFIC_HEADER, 'Subject', 'no NUL'],
    [P.SMFIC_HEADER, 'Subject\0', 'one string'],
    [P.SMFIC_HEADER, 'Subject\0a', 'no NUL after the value'],
    [P.SMFIC_HEADER, 'Subject\0a\0b\0', 'three strings'],
    [P.SMFIC_UNKNOWN, 'FOO', 'no NUL'],
  ];
  for (const [command, data, why] of cases) {
    const decode = () => decodeCommand(command, bytes(data));
    t.throws(decode, { code: 'command_malformed' }, `${P.COMMAND_NAMES.get(command)}: ${why}`);
  }
  t.throws(() => decodeCommand(0x7a, bytes('')), { code: 'command_unknown' }, 'z is no command');
});

t.test('any bytes give a command or a typed error', async (t) => {
  const command = fc.constantFrom(...P.COMMAND_NAMES.keys(), 0, 0xff);
  const data = fc.oneof(fc.uint8Array(), fc.stringMatching(/^[a4\0<>]*$/).map(bytes));
  fc.assert(
    fc.property(command, data, (code, payload) => {
      try {
        t.type(decodeCommand(code, Buffer.from(payload)).type, 'string');
      } catch (error) {
        t.ok(error instanceof MilterProtocolError);
      }
    }),
    { numRuns: 1000 },
  );
});
