/** The messages of test/corpus, and whole messages judged as the daemon would judge them. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '#core';
import { createIncomingStages } from '../../src/incoming.ts';
import { createOutgoingStages } from '../../src/outgoing.ts';
import type { Direction } from '../../src/part-header.ts';
import { RateLimit } from '../../src/rate-limit.ts';
import { AUTHENTIC, judge, type TestMessage } from './judge.ts';

const DIRECTORY = join(import.meta.dirname, '../../../../test/corpus');
const config = parseConfig('[params]\nmail_domain = relay.test\n');
const policy = { allowsCleartext: async () => false };

/** Names of all messages. */
export const CORPUS: readonly string[] = readdirSync(DIRECTORY).filter((name) => name.endsWith('.eml'));

/** Rows of expected.tsv. */
export const EXPECTED = readFileSync(join(DIRECTORY, 'expected.tsv'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split('\t') as [file: string, direction: Direction, reason: string, why: string]);

/** A message as a byte string. */
export function readCorpus(file: string): string {
  return readFileSync(join(DIRECTORY, file), 'latin1');
}

/** The reason of the verdict on a message from alice@relay.test to bob@relay.test, who takes no clear text. */
export async function reasonFor(text: string, direction: Direction): Promise<string> {
  const stages =
    direction === 'outgoing'
      ? createOutgoingStages({ config, rateLimit: new RateLimit({ perMinute: 60, burst: 10 }), now: () => 0 })
      : createIncomingStages(policy, AUTHENTIC);
  const { verdict } = await judge(stages, cutMessage(text));
  return verdict.reason;
}

/**
 * What Postfix makes of bytes it is sent before a milter or anybody else sees them: CRLF for a bare LF, a blank for a bare CR,
 * and an empty line before the first line that is no header field.
 */
export function asPostfix(text: string): string {
  const lines = text.replace(/\r?\n/g, '\n').replace(/\r/g, ' ').split('\n');
  const isHeader = (line: string, at: number) => /^[!-9;-~]+[ \t]*:/.test(line) || (at > 0 && /^[ \t]/.test(line));
  const end = lines.findIndex((line, at) => !isHeader(line, at));
  if (end >= 0 && lines[end] !== '') lines.splice(end, 0, '');
  return lines.join('\r\n');
}

/** Cuts a message as the MTA does: fields with the first blank taken off and folds joined by LF, then the body. */
export function cutMessage(text: string): TestMessage {
  if (text.startsWith('\r\n')) return { header: [], body: text.slice(2) };
  const end = text.indexOf('\r\n\r\n');
  const fields = text.slice(0, end).split(/\r\n(?![ \t])/);
  const header = fields.map((field): [string, string] => {
    const colon = field.indexOf(':');
    return [
      field.slice(0, colon).trimEnd(),
      field
        .slice(colon + 1)
        .replace(/^ /, '')
        .replaceAll('\r\n', '\n'),
    ];
  });
  return { header, body: text.slice(end + 4) };
}
