/** Every answer and edit on the wire, and what may not get there. */

import fc from 'fast-check';
import t from 'tap';
import type { Answer, Edit, EndOfMessageAnswer, Skip } from '../src/handler.ts';
import { decodeReply, type MtaReply } from '../src/mta-reply.ts';
import * as P from '../src/protocol.ts';
import { encodeAnswer, encodeEndOfMessage, PROGRESS_FRAME } from '../src/reply.ts';

const ALL_ACTIONS = 0xff;

function decodeAll(bytes: Buffer): MtaReply[] {
  const replies: MtaReply[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    replies.push(decodeReply(bytes[at + 4]!, bytes.subarray(at + 5, end)));
    at = end;
  }
  return replies;
}

const reject = (code: number, enhanced: string, text: string | string[]): Answer => ({
  verdict: 'reject',
  reply: { code, enhanced, text },
});

t.test('answers, byte by byte', async (t) => {
  const cases: readonly (readonly [answer: Answer | Skip, wire: string, why: string])[] = [
    [{ verdict: 'continue' }, '\0\0\0\x01c', 'continue'],
    [{ verdict: 'accept' }, '\0\0\0\x01a', 'accept'],
    [{ verdict: 'discard' }, '\0\0\0\x01d', 'discard'],
    [{ verdict: 'skip' }, '\0\0\0\x01s', 'skip'],
    [{ verdict: 'reject' }, '\0\0\0\x01r', "Postfix' own words"],
    [{ verdict: 'tempfail' }, '\0\0\0\x01t', "Postfix' own words"],
    [reject(523, '5.7.1', 'No'), '\0\0\0\x0ey523 5.7.1 No\0', 'NUL at the end, no CRLF'],
    [reject(550, '5.7.1', ['a', 'b']), '\0\0\0\x1ay550-5.7.1 a\r\n550 5.7.1 b\0', 'two lines'],
    [reject(550, '5.7.1', '100%'), '\0\0\0\x11y550 5.7.1 100%%\0', '% doubled'],
    [reject(550, '5.7.1', 'a\r\n250 b\0'), '\0\0\0\x15y550 5.7.1 a  250 b \0', 'no line, no NUL of its own'],
    [reject(550, '5.7.1', 'gr\u00fc\u20ac'), '\0\0\0\x10y550 5.7.1 gr??\0', 'ASCII only (RFC 5321 §4.2)'],
    [reject(550, '5.7.1', []), '\0\0\0\x0cy550 5.7.1 \0', 'no lines are one empty line'],
    [
      { verdict: 'tempfail', reply: { code: 450, enhanced: '4.7.1', text: 'x' } },
      '\0\0\0\x0dy450 4.7.1 x\0',
      'tempfail with a reply',
    ],
  ];
  for (const [answer, wire, why] of cases) t.equal(encodeAnswer(answer).toString('latin1'), wire, why);
  t.equal(PROGRESS_FRAME.toString('latin1'), '\0\0\0\x01p', 'progress');
});

t.test('reply lines are cut at 512 bytes and 32 lines', async (t) => {
  const [reply] = decodeAll(encodeAnswer(reject(550, '5.7.1', new Array(40).fill('%'.repeat(1000)))));
  const lines = reply?.type === 'replyCode' ? reply.text.split('\r\n') : [];
  t.equal(lines.length, 32);
  for (const [i, line] of lines.entries()) {
    t.equal(line.replaceAll('%%', '%').length, 510);
    t.equal(line[3], i === 31 ? ' ' : '-');
  }
});

t.test('replies that are none', async (t) => {
  const cases: readonly (readonly [verdict: 'reject' | 'tempfail', code: number, enhanced: string, why: string])[] = [
    ['reject', 450, '4.7.1', 'a temporary code'],
    ['reject', 250, '2.0.0', 'a success'],
    ['reject', 600, '5.7.1', 'no SMTP code'],
    ['reject', 550.5, '5.7.1', 'not an integer'],
    ['reject', Number.NaN, '5.7.1', 'not a number'],
    ['reject', 550, '4.7.1', 'classes differ: Postfix would say 451 4.3.5'],
    ['reject', 550, '', 'no enhanced code'],
    ['reject', 550, '5.7', 'two parts'],
    ['reject', 550, '5.7.1\r\n250', 'a line break'],
    ['tempfail', 550, '5.7.1', 'a permanent code'],
  ];
  for (const [verdict, code, enhanced, why] of cases) {
    t.throws(() => encodeAnswer({ verdict, reply: { code, enhanced, text: '' } }), { code: 'reply_invalid' }, why);
  }
  t.throws(() => encodeAnswer({ verdict: 'pass' } as never), { code: 'answer_not_possible' }, 'no such verdict');
});

t.test('edits', async (t) => {
  const cases: readonly (readonly [edit: Edit, action: number, expected: MtaReply[], why: string])[] = [
    [
      { edit: 'addHeader', name: 'X', value: 'a\r\n b' },
      P.SMFIF_ADDHDRS,
      [{ type: 'addHeader', name: 'X', value: 'a\r\n b' }],
      'folded',
    ],
    [
      { edit: 'addHeader', name: 'X', value: '' },
      P.SMFIF_ADDHDRS,
      [{ type: 'addHeader', name: 'X', value: '' }],
      'an empty value is a value',
    ],
    [
      { edit: 'insertHeader', index: 0, name: 'X', value: 'gr\xfc' },
      P.SMFIF_ADDHDRS,
      [{ type: 'insertHeader', index: 0, name: 'X', value: 'gr\xfc' }],
      'at the top, 8-bit',
    ],
    [
      { edit: 'changeHeader', name: 'Subject', index: 1, value: '[...]' },
      P.SMFIF_CHGHDRS,
      [{ type: 'changeHeader', index: 1, name: 'Subject', value: '[...]' }],
      'the first of its name',
    ],
    [
      { edit: 'deleteHeader', name: 'X', index: 2 },
      P.SMFIF_CHGHDRS,
      [{ type: 'changeHeader', index: 2, name: 'X', value: '' }],
      'deletion is a change to nothing',
    ],
    [
      { edit: 'replaceBody', body: Buffer.alloc(65_536, 'x') },
      P.SMFIF_CHGBODY,
      [
        { type: 'replaceBody', chunk: Buffer.alloc(65_535, 'x') },
        { type: 'replaceBody', chunk: Buffer.from('x') },
      ],
      'in chunks',
    ],
    [
      { edit: 'replaceBody', body: Buffer.alloc(0) },
      P.SMFIF_CHGBODY,
      [{ type: 'replaceBody', chunk: Buffer.alloc(0) }],
      'by nothing',
    ],
    [
      { edit: 'addRecipient', recipient: '<a@x>' },
      P.SMFIF_ADDRCPT,
      [{ type: 'addRecipient', address: '<a@x>' }],
      'plain',
    ],
    [
      { edit: 'addRecipient', recipient: '<a@x>', parameters: 'NOTIFY=NEVER' },
      P.SMFIF_ADDRCPT_PAR,
      [{ type: 'addRecipient', address: '<a@x>', parameters: 'NOTIFY=NEVER' }],
      'with parameters it is another action',
    ],
    [
      { edit: 'deleteRecipient', recipient: '<a@x>' },
      P.SMFIF_DELRCPT,
      [{ type: 'deleteRecipient', address: '<a@x>' }],
      'deleted',
    ],
    [{ edit: 'changeSender', sender: '<>' }, P.SMFIF_CHGFROM, [{ type: 'changeSender', address: '<>' }], 'null sender'],
    [
      { edit: 'changeSender', sender: '<a@x>', parameters: 'SIZE=1' },
      P.SMFIF_CHGFROM,
      [{ type: 'changeSender', address: '<a@x>', parameters: 'SIZE=1' }],
      'with parameters',
    ],
    [
      { edit: 'quarantine', reason: 'bad\r\nbad' },
      P.SMFIF_QUARANTINE,
      [{ type: 'quarantine', reason: 'bad  bad' }],
      'one line',
    ],
  ];
  for (const [edit, action, expected, why] of cases) {
    const answer: EndOfMessageAnswer = { verdict: 'accept', edits: [edit] };
    const replies = decodeAll(encodeEndOfMessage(answer, action));
    t.strictSame(replies, [...expected, { type: 'accept' }], `${edit.edit}: ${why}`);
    const without = () => encodeEndOfMessage(answer, ALL_ACTIONS & ~action);
    t.throws(without, { code: 'action_not_negotiated' }, `${edit.edit}: ${why}, not negotiated`);
  }
});

t.test('edits that would be something else', async (t) => {
  const cases: readonly (readonly [edit: unknown, why: string])[] = [
    [{ edit: 'addHeader', name: 'X', value: 'a\nBcc: b' }, 'a header of its own'],
    [{ edit: 'addHeader', name: 'X', value: 'a\r\n\r\nbody' }, 'the end of the header'],
    [{ edit: 'addHeader', name: 'X', value: 'a\n' }, 'a line break at the end'],
    [{ edit: 'addHeader', name: 'X', value: 'a\rb' }, 'a bare CR'],
    [{ edit: 'addHeader', name: 'X', value: 'a\0b' }, 'a NUL'],
    [{ edit: 'addHeader', name: 'X', value: '\u20ac' }, 'a character that is no byte'],
    [{ edit: 'addHeader', name: 'X', value: 'a'.repeat(65_536) }, 'longer than a frame'],
    [{ edit: 'addHeader', name: 'X: a\nY', value: '' }, 'a name with a line break'],
    [{ edit: 'addHeader', name: 'X Y', value: '' }, 'a name with a space'],
    [{ edit: 'addHeader', name: '', value: '' }, 'no name'],
    [{ edit: 'insertHeader', name: 'X', index: -1, value: 'a' }, 'below the top'],
    [{ edit: 'changeHeader', name: 'X', index: 0, value: 'a' }, 'indexes count from 1'],
    [{ edit: 'changeHeader', name: 'X', index: 1.5, value: 'a' }, 'half an index'],
    [{ edit: 'changeHeader', name: 'X', index: 2 ** 32, value: 'a' }, 'more than 32 bits'],
    [{ edit: 'changeHeader', name: 'X', index: 1, value: '' }, 'would delete'],
    [{ edit: 'addRecipient', recipient: '' }, 'no recipient'],
    [{ edit: 'addRecipient', recipient: '<a@x>\0<b@x>' }, 'a NUL'],
    [{ edit: 'deleteRecipient', recipient: '<a@x>\r\n' }, 'a line break'],
    [{ edit: 'changeSender', sender: '<a@x>', parameters: 'A\nB' }, 'a line break'],
  ];
  for (const [edit, why] of cases) {
    const encode = () => encodeEndOfMessage({ verdict: 'accept', edits: [edit as Edit] }, ALL_ACTIONS);
    t.throws(encode, { code: 'edit_invalid' }, why);
  }
  const body: Edit = { edit: 'replaceBody', body: Buffer.from('x') };
  const twice: EndOfMessageAnswer = { verdict: 'accept', edits: [body, body] };
  t.throws(() => encodeEndOfMessage(twice, ALL_ACTIONS), { code: 'edit_invalid' }, 'two bodies');
  const unknown = { verdict: 'accept', edits: [{ edit: 'shout' }] } as never;
  t.throws(() => encodeEndOfMessage(unknown, ALL_ACTIONS), { code: 'edit_invalid' }, 'no such edit');
  const refused = { verdict: 'reject', edits: [body] } as never;
  t.throws(() => encodeEndOfMessage(refused, ALL_ACTIONS), { code: 'answer_not_possible' }, 'edits to refused mail');
});

t.test('whatever the text, the MTA reads one reply and the client whole lines of that code', async (t) => {
  // fast-check's own unit 'binary' takes a second to set up.
  const unit = fc.oneof(fc.nat(0x7f), fc.nat(0x10_ffff)).map((code) => String.fromCodePoint(code));
  const text = fc.oneof(fc.string({ unit }), fc.array(fc.string({ unit }), { maxLength: 5 }));
  fc.assert(
    fc.property(text, (value) => {
      const replies = decodeAll(
        encodeAnswer({ verdict: 'reject', reply: { code: 550, enhanced: '5.7.1', text: value } }),
      );
      t.equal(replies.length, 1);
      const wire = replies[0]?.type === 'replyCode' ? replies[0].text : '';
      t.match(wire, /^(?:550-5\.7\.1 [ -~]*\r\n)*550 5\.7\.1 [ -~]*$/);
      t.equal(/(?<!%)(?:%%)*%(?!%)/.test(wire), false, 'no single %');
    }),
  );
});

t.test('headers that are accepted come back as they were', async (t) => {
  const value = fc.stringMatching(/^[\x01-\x09\x0b\x0c\x0e-\xff]*$/);
  fc.assert(
    fc.property(
      value,
      fc.stringMatching(/^[!-9;-~]+$/),
      fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      (text, name, index) => {
        const edits: Edit[] = [{ edit: 'insertHeader', name, index, value: text }];
        const [reply] = decodeAll(encodeEndOfMessage({ verdict: 'continue', edits }, ALL_ACTIONS));
        t.strictSame(reply, { type: 'insertHeader', name, index, value: text });
      },
    ),
  );
});
