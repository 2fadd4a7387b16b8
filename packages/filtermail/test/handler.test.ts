/** The handlers behind the real milter server on a Unix socket, with the MTA's side of the protocol on the other. */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLogger, parseConfig } from '#core';
import { MilterServer, SMFIF_ADDHDRS, SMFIF_CHGFROM, SMFIF_CHGHDRS } from '#milter';
import { type MessageResult, type TestMessage, TestMta } from '#milter/testing';
import type { MessageTimes } from '../src/filter-metrics.ts';
import { FILTER_EVENTS, FilterHandler } from '../src/handler.ts';
import { createIncomingStages } from '../src/incoming.ts';
import { createOutgoingStages } from '../src/outgoing.ts';
import type { Direction } from '../src/part-header.ts';
import { RateLimit } from '../src/rate-limit.ts';
import type { Verdict } from '../src/verdict.ts';
import { AUTHENTIC } from './support/judge.ts';
import { armor, BOUNDARY, encryptedBytes, mimeBody } from './support/openpgp.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-'));
t.teardown(() => rmSync(directory, { recursive: true }));

const logged: string[] = [];
const judged: { direction: string; verdict: Verdict; times: MessageTimes }[] = [];
const config = parseConfig('[params]\nmail_domain = relay.test\n');
const rateLimit = new RateLimit({ perMinute: 60, burst: 1000 });
const policy = {
  async allowsCleartext({ text }: { text: string }) {
    if (text.startsWith('broken')) throw Object.assign(new Error('EIO /secret/path'), { code: 'EIO' });
    return text === 'open@relay.test';
  },
};

async function serve(direction: Direction): Promise<TestMta> {
  const settings = {
    direction,
    createStages: () =>
      direction === 'outgoing'
        ? createOutgoingStages({ config, rateLimit, now: () => performance.now() })
        : createIncomingStages(policy, AUTHENTIC),
    metrics: {
      judged: (direction: string, verdict: Verdict, times: MessageTimes) =>
        void judged.push({ direction, verdict, times }),
    },
    log: createLogger('debug', { write: (line: string) => void logged.push(line) }),
    now: () => performance.now(),
  };
  return await listen({
    handler: (session) => new FilterHandler(settings, session),
    events: FILTER_EVENTS,
    actions: direction === 'outgoing' ? SMFIF_ADDHDRS | SMFIF_CHGHDRS : SMFIF_CHGFROM,
  });
}

let sockets = 0;
async function listen(
  options: Pick<ConstructorParameters<typeof MilterServer>[0], 'handler' | 'events' | 'actions'>,
): Promise<TestMta> {
  const path = join(directory, `${sockets++}.sock`);
  const server = new MilterServer({ ...options, onError: (error) => t.fail(error.message) });
  server.server.listen(path);
  await once(server.server, 'listening');
  const mta = await TestMta.connect({ path });
  await mta.negotiate();
  await mta.client();
  t.teardown(() => {
    mta.socket.destroy();
    return server.drain(0);
  });
  return mta;
}

const HEADERS: [string, string][] = [
  ['From', '<alice@relay.test>'],
  ['Subject', 'noon'],
  ['X-Mailer', 'test'],
  ['Content-Type', `multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${BOUNDARY}"`],
];
const ENCRYPTED: TestMessage = { headers: HEADERS, body: mimeBody() };
const CLEAR: TestMessage = {
  headers: [
    ['From', '<alice@relay.test>'],
    ['Content-Type', 'text/plain'],
  ],
  body: 'meet me at noon',
};

/** `accept`, or the reply's text. */
const outcome = ({ reply }: MessageResult) => (reply.type === 'replyCode' ? reply.text : reply.type);

t.test('outgoing', async (t) => {
  const mta = await serve('outgoing');
  const passed = await mta.message(ENCRYPTED);
  t.equal(outcome(passed), 'accept');
  t.equal(passed.event, 'endOfMessage', 'nothing is answered before');
  t.same(
    passed.edits.map(({ type }) => type),
    ['changeHeader', 'changeHeader'],
    'the subject and the program',
  );
  mta.abort();
  const clear = await mta.message(CLEAR);
  t.equal(outcome(clear), '523 5.7.1 Encryption Needed: Invalid Unencrypted Mail (message is text/plain)');
  t.same(clear.edits, [], 'a message that is refused is not changed');
  mta.abort();
  const forged = await mta.message({ ...ENCRYPTED, macros: { mail: { '{auth_authen}': 'bob@relay.test' } } });
  t.match(outcome(forged), /^553 5\.7\.1 /);
  mta.abort();
  const typed = await mta.message({
    ...ENCRYPTED,
    sender: '<alice@relay.test>',
    macros: { mail: { '{mail_addr}': 'bob@relay.test' } },
  });
  t.match(outcome(typed), /^553 5\.7\.1 /, 'what the MTA says counts, not what was typed');
  mta.abort();
  t.equal(
    outcome(await mta.message({ ...ENCRYPTED, body: mimeBody({ second: armor(encryptedBytes(3_000_000)) }) })),
    'accept',
    '4 MB',
  );
});

t.test('a message given up leaves nothing behind', async (t) => {
  const mta = await serve('outgoing');
  mta.macros(0x4d, { '{mail_addr}': 'eve@relay.test' });
  mta.send(0x4d, '<eve@relay.test>\0');
  mta.send(0x4c, 'From\0eve@relay.test\0');
  mta.send(0x42, 'half of a body');
  mta.abort();
  t.equal(outcome(await mta.message(ENCRYPTED)), 'accept');
});

t.test('incoming', async (t) => {
  const mta = await serve('incoming');
  t.equal(outcome(await mta.message(ENCRYPTED)), 'accept');
  mta.abort();
  t.match(outcome(await mta.message(CLEAR)), /^523 5\.7\.1 .*\(message is text\/plain\)$/);
  mta.abort();
  t.equal(outcome(await mta.message({ ...CLEAR, recipients: ['<open@relay.test>'] })), 'accept');
  mta.abort();
  t.match(outcome(await mta.message({ ...CLEAR, recipients: ['<open@relay.test>', '<bob@relay.test>'] })), /^523 /);
  mta.abort();
  const broken = await mta.message({ ...CLEAR, recipients: ['<broken@relay.test>'] });
  t.match(outcome(broken), /^451 4\.3\.0 /, 'what we cannot look up is our fault');
  mta.abort();
  const list = await mta.message({ ...ENCRYPTED, sender: '<bounces@lists.example>' });
  t.same([outcome(list), list.edits.map(({ type }) => type)], ['accept', ['changeSender']]);
  mta.abort();
  const many = Array.from({ length: 1001 }, () => '<open@relay.test>');
  t.match(outcome(await mta.message({ ...CLEAR, recipients: many })), /^523 /, 'more recipients than are looked up');
});

t.test('log and metrics', async (t) => {
  const lines = logged.join('');
  t.match(lines, /"queueId":"TEST1"/);
  t.match(lines, /"reason":"content_type_wrong"/);
  t.notMatch(lines, /@|relay\.test|noon|secret|192\.0\.2/, 'no address, no subject, no path');
  const reasons = judged.map(({ direction, verdict }) => `${direction} ${verdict.verdict} ${verdict.reason}`);
  for (const expected of [
    'outgoing accept encrypted',
    'outgoing reject content_type_wrong',
    'incoming accept cleartext_allowed',
    'incoming tempfail internal',
  ]) {
    t.ok(reasons.includes(expected), expected);
  }
  t.ok(judged.every(({ times }) => times.shareMs >= times.endOfMessageMs && times.endOfMessageMs >= 0));
  t.ok(judged.some(({ times }) => times.bodyBytes > 4_000_000));
});
