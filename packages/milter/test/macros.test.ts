/** Macros live as long as what they were said of. */

import t from 'tap';
import { MAX_MACRO_BYTES, MacroTable } from '../src/macros.ts';
import * as P from '../src/protocol.ts';

const bytes = (...strings: string[]): Buffer => Buffer.from(strings.map((s) => `${s}\0`).join(''), 'latin1');

t.test('look-up', async (t) => {
  const macros = new MacroTable();
  macros.set(P.SMFIC_CONNECT, bytes('j', 'relay.test', 'v', 'Postfix'));
  macros.set(P.SMFIC_MAIL, bytes('{mail_addr}', '', 'odd'));
  t.equal(macros.get('j'), 'relay.test');
  t.equal(macros.get('{mail_addr}'), '', 'present and empty: the null sender');
  t.equal(macros.get('odd'), undefined, 'a name without a value is not set');
  t.equal(macros.get('mail_addr'), undefined, 'names are those on the wire');
  t.equal(macros.get('__proto__'), undefined);
  macros.set(P.SMFIC_RCPT, bytes('j', 'later'));
  t.equal(macros.get('j'), 'later', 'the latest stage wins');
});

t.test('the bytes given may be reused', async (t) => {
  const macros = new MacroTable();
  const shared = bytes('i', 'Q1');
  macros.set(P.SMFIC_MAIL, shared);
  shared.fill(0x78);
  t.equal(macros.get('i'), 'Q1');
});

t.test('dropped when an earlier stage comes again', async (t) => {
  const macros = new MacroTable();
  const set = (command: number, name: string) => {
    macros.set(command, bytes(name, 'x'));
    macros.enter(command);
  };
  set(P.SMFIC_CONNECT, 'connect');
  set(P.SMFIC_HELO, 'helo');
  set(P.SMFIC_MAIL, 'mail');
  set(P.SMFIC_RCPT, 'rcpt');
  set(P.SMFIC_HEADER, 'header');
  const present = () => ['connect', 'helo', 'mail', 'rcpt', 'header'].filter((name) => macros.get(name) !== undefined);
  t.strictSame(present(), ['connect', 'helo', 'mail', 'rcpt', 'header']);
  set(P.SMFIC_RCPT, 'rcpt');
  t.strictSame(present(), ['connect', 'helo', 'mail', 'rcpt'], 'the next recipient');
  macros.enter(P.SMFIC_RCPT);
  t.strictSame(present(), ['connect', 'helo', 'mail'], 'a recipient without macros does not inherit the last one');
  set(P.SMFIC_HELO, 'helo');
  t.strictSame(present(), ['connect', 'helo'], 'HELO again, after STARTTLS');
  set(P.SMFIC_MAIL, 'mail');
  macros.endMessage();
  t.strictSame(present(), ['connect', 'helo'], 'the message is over');
  macros.clear();
  t.strictSame(present(), [], 'another client');
});

t.test('bounds', async (t) => {
  const macros = new MacroTable();
  const stage = P.SMFIC_HELO;
  macros.set(stage, bytes('a', 'x'.repeat(MAX_MACRO_BYTES - 3)));
  t.throws(() => macros.set(stage, bytes('a', 'x'.repeat(MAX_MACRO_BYTES - 2))), { code: 'macros_too_large' });
  t.throws(() => macros.set(P.SMFIC_QUIT, bytes()), { code: 'command_malformed' }, 'no such stage');
});
