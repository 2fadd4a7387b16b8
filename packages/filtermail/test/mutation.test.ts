/**
 * Every byte of accepted messages, header and body, in both directions: changed, deleted, doubled, something put before it, and the
 * message cut off there. Whatever comes of it has a verdict, and if it is accepted, two others (support/readers.ts) still read
 * exactly the same encrypted packets in it and nothing beside them, or exactly the same securejoin request; and what leaves has no
 * more to read than before: its header is the one that left before, but for a byte of what the sender chooses.
 */

import t from 'tap';
import { parseConfig } from '#core';
import { createIncomingStages } from '../src/incoming.ts';
import { createOutgoingStages } from '../src/outgoing.ts';
import type { Direction } from '../src/part-header.ts';
import { RateLimit } from '../src/rate-limit.ts';
import { asPostfix, cutMessage, readCorpus } from './support/corpus.ts';
import { AUTHENTIC, judge } from './support/judge.ts';
import { armor, BOUNDARY, encryptedBytes, mimeBody } from './support/openpgp.ts';
import { mimeDifference, packetDifference, packetsOf, partsOf } from './support/readers.ts';

const config = parseConfig('[params]\nmail_domain = relay.test\n');
const policy = { allowsCleartext: async () => false };
const ACCEPTED = ['encrypted', 'securejoin'];

const ENCRYPTED = [
  'From: <alice@relay.test>',
  'To: "hidden-recipients": ;',
  'Subject: [...]',
  'Date: Mon, 1 Jan 2024 10:00:00 +0000',
  'Message-ID: <b1946ac9@localhost>',
  'MIME-Version: 1.0',
  `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${BOUNDARY}"`,
  '',
  mimeBody({ second: armor(encryptedBytes(120)) }).toString('latin1'),
].join('\r\n');

interface Result {
  readonly reason: string;
  /** The header with which it leaves. */
  readonly header: readonly string[];
}

async function judged(text: string, direction: Direction): Promise<Result> {
  const stages =
    direction === 'outgoing'
      ? createOutgoingStages({ config, rateLimit: new RateLimit({ perMinute: 60, burst: 10 }), now: () => 0 })
      : createIncomingStages(policy, AUTHENTIC);
  const message = cutMessage(text);
  const { verdict, edits } = await judge(stages, message);
  const seen = new Map<string, number>();
  const header = message.header.flatMap(([name, value]) => {
    const lower = name.toLowerCase();
    const index = (seen.get(lower) ?? 0) + 1;
    seen.set(lower, index);
    const edit = edits.find((edit) => 'index' in edit && edit.name.toLowerCase() === lower && edit.index === index);
    if (edit?.edit === 'deleteHeader') return [];
    return [`${lower}: ${edit?.edit === 'changeHeader' ? edit.value : value.replaceAll(/\s*\n\s*/g, ' ').trim()}`];
  });
  return { reason: verdict.reason, header };
}

/** What another byte there can be, or more or less of them. */
function* changes(text: string, at: number): Generator<string> {
  const [before, after] = [text.slice(0, at), text.slice(at + 1)];
  const byte = text.charCodeAt(at);
  for (const bit of [0x01, 0x20]) yield before + String.fromCharCode(byte ^ bit) + after;
  yield before + after;
  for (const added of [text[at]!, '\0', ' ', '\r\n', 'A']) yield before + added + text.slice(at);
  yield before;
}

/** Letters and digits of what leaves, without those of a word the sender may choose. */
const readable = (header: readonly string[]) =>
  header.map((line) => line.replace(/^(message-id|date|secure-join-invitenumber): .*/, '$1')).sort();

/** What is wrong with accepting it, if anything. */
async function objection(text: string, result: Result, original: string, before: Result): Promise<string | undefined> {
  if (!ACCEPTED.includes(result.reason)) return undefined;
  if (result.reason !== before.reason) return `accepted as ${result.reason}`;
  const difference = await mimeDifference(text, result.reason);
  if (difference !== undefined) return `another reader sees ${difference}`;
  if (result.reason !== 'encrypted') return undefined;
  const packets = packetsOf(text);
  if (!packets?.equals(packetsOf(original)!)) return 'other packets';
  return packetDifference(packets);
}

const MESSAGES: readonly (readonly [name: string, text: string])[] = [
  ['an encrypted message', ENCRYPTED],
  ['a securejoin request', readCorpus('securejoin-message-id.eml')],
];

for (const [name, text] of MESSAGES) {
  for (const direction of ['outgoing', 'incoming'] as const) {
    t.test(`${name}, ${direction}`, async (t) => {
      const before = await judged(text, direction);
      t.ok(ACCEPTED.includes(before.reason));
      const wrong: string[] = [];
      let accepted = 0;
      let all = 0;
      for (let at = 0; at < text.length; at++) {
        for (const raw of changes(text, at)) {
          const changed = asPostfix(raw);
          const result = await judged(changed, direction);
          all++;
          if (!ACCEPTED.includes(result.reason)) continue;
          accepted++;
          let what = await objection(changed, result, text, before);
          if (direction === 'outgoing') what ??= headerObjection(result, before);
          if (what !== undefined) wrong.push(`${what}: ${JSON.stringify(raw.slice(Math.max(0, at - 20), at + 20))}`);
        }
      }
      t.same(wrong.slice(0, 10), []);
      t.ok(accepted > 100 && accepted < all, `${accepted} of ${all} are accepted`);
    });
  }
}

/** Outgoing, a field may be gone, or differ where the sender may choose; nothing else may be there. */
function headerObjection(result: Result, before: Result): string | undefined {
  const known = new Set(readable(before.header));
  const other = readable(result.header).find((line) => !known.has(line) && !isAlike(line));
  return other && `leaves with ${other}`;
}

/** Of what has a shape: other boundaries, encodings, keys (autocrypt.test.ts has their rules), capitals. */
function isAlike(line: string): boolean {
  return /^(?:content-type: multipart\/(?:encrypted|mixed) ?;|autocrypt: addr=alice@relay\.test;|from: <alice@)/i.test(
    line,
  );
}

t.test('the parts of what is accepted are the parts of the message', async (t) => {
  t.same(
    (await partsOf(ENCRYPTED)).map(({ type }) => type),
    ['multipart/encrypted', 'application/pgp-encrypted', 'application/octet-stream'],
  );
});
