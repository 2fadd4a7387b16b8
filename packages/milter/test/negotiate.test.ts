/** What is agreed with an MTA's offer, and which MTAs are refused. */

import t from 'tap';
import { decodeReply } from '../src/mta-reply.ts';
import { encodeNegotiated, negotiate, type Requirements } from '../src/negotiate.ts';
import * as P from '../src/protocol.ts';
import { POSTFIX_OFFER } from '../src/testing.ts';

const FILTERMAIL: Requirements = {
  events: {
    connect: 'notify',
    mail: 'notify',
    recipient: 'notify',
    header: 'notify',
    endOfHeaders: 'notify',
    body: 'notify',
  },
  actions: P.SMFIF_ADDHDRS | P.SMFIF_CHGHDRS,
};

t.test('protocol steps', async (t) => {
  const none = 0x37f;
  const cases: readonly (readonly [wanted: Requirements, offered: number, steps: number, why: string])[] = [
    [FILTERMAIL, POSTFIX_OFFER.steps, 0xcd382, 'no reply before the end of message'],
    [FILTERMAIL, 0x10_0000 | P.SMFIP_NOHELO, P.SMFIP_NOHELO, 'an MTA that can do little: we reply to everything'],
    [{ events: {} }, POSTFIX_OFFER.steps, none, 'nothing but the end of message'],
    [
      { events: { body: 'answer' } },
      POSTFIX_OFFER.steps,
      (none & ~P.SMFIP_NOBODY) | P.SMFIP_SKIP,
      'skip comes with answers',
    ],
    [{ events: {}, leadingSpace: true }, POSTFIX_OFFER.steps, none | P.SMFIP_HDR_LEADSPC, 'leading space'],
    [{ events: {}, rejectedRecipients: true }, POSTFIX_OFFER.steps, none | P.SMFIP_RCPT_REJ, 'rejected recipients'],
    [{ events: {} }, 0xffff_ffff, none, 'bits of later versions are not taken'],
  ];
  for (const [wanted, offered, steps, why] of cases) {
    t.equal(negotiate({ ...POSTFIX_OFFER, steps: offered }, wanted).steps, steps, why);
  }
});

t.test('who gets a reply', async (t) => {
  const { events } = negotiate(POSTFIX_OFFER, { events: { mail: 'answer', body: 'notify' } });
  t.strictSame(events.mail, { mode: 'answer', reply: true });
  t.strictSame(events.body, { mode: 'notify', reply: false });
  t.strictSame(events.helo, { mode: undefined, reply: true }, 'switched off: answered if it should come nevertheless');
  const poor = negotiate({ ...POSTFIX_OFFER, steps: 0 }, { events: { body: 'notify' } });
  t.strictSame(poor.events.body, { mode: 'notify', reply: true }, 'the MTA cannot go without');
});

t.test('refused MTAs', async (t) => {
  const cases: readonly (readonly [offer: object, wanted: Requirements, code: string, why: string])[] = [
    [{ version: 2 }, FILTERMAIL, 'version_unsupported', 'milter_protocol = 2'],
    [{ version: 0 }, FILTERMAIL, 'version_unsupported', 'nonsense'],
    [{ actions: P.SMFIF_ADDHDRS }, FILTERMAIL, 'actions_unsupported', 'cannot change headers'],
    [{ actions: 0xff }, { events: {}, macros: { connect: ['j'] } }, 'actions_unsupported', 'cannot choose macros'],
    [{ steps: 0 }, { events: {}, leadingSpace: true }, 'steps_unsupported', 'cannot keep the leading space'],
    [{ steps: 0 }, { events: {}, rejectedRecipients: true }, 'steps_unsupported', 'cannot show rejected recipients'],
  ];
  for (const [offer, wanted, code, why] of cases) {
    t.throws(() => negotiate({ ...POSTFIX_OFFER, ...offer }, wanted), { name: 'MilterProtocolError', code }, why);
  }
});

t.test('the answer frame', async (t) => {
  const negotiated = negotiate({ ...POSTFIX_OFFER, version: 7 }, FILTERMAIL);
  const frame = encodeNegotiated(negotiated);
  t.equal(frame.toString('hex'), '0000000d4f0000000600000011000cd382', 'version 6 although the MTA knows 7');

  const macros = { connect: ['j', '{daemon_name}'], endOfMessage: ['i'] };
  const wanted = { events: {}, macros };
  const withLists = encodeNegotiated(negotiate(POSTFIX_OFFER, wanted), macros);
  const reply = decodeReply(withLists[4]!, withLists.subarray(5));
  t.equal(reply.type === 'negotiate' && reply.offer.actions, P.SMFIF_SETSYMLIST);
  t.strictSame(reply.type === 'negotiate' && [...reply.macros], [
    [0, 'j {daemon_name}'],
    [5, 'i'],
  ]);
});
