/** What Postfix sent, replayed at every chunk size: the same events, and byte for byte the replies recorded. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { SCENARIOS } from './scenarios.ts';
import { formatTranscript, frameBytes, parseTranscript, SessionDriver } from './transcript.ts';

const DIRECTORY = join(import.meta.dirname, '../../../test/transcripts/milter');
const LARGEST_CHUNK = 200;

for (const file of readdirSync(DIRECTORY).filter((name) => name.endsWith('.txt'))) {
  t.test(file, async (t) => {
    const text = readFileSync(join(DIRECTORY, file), 'latin1');
    const transcript = parseTranscript(text);
    const { peer, scenario, frames } = transcript;
    t.match(peer, /^Postfix \d/);
    t.equal(formatTranscript(transcript), text, 'the format loses nothing');
    const input = Buffer.concat(frames.filter(({ direction }) => direction === '>').map(frameBytes));
    const expected = Buffer.concat(frames.filter(({ direction }) => direction === '<').map(frameBytes));

    const replay = async (chunkSize: number): Promise<{ events: string[]; output: Buffer; ended: boolean }> => {
      const events: string[] = [];
      const driver = new SessionDriver(SCENARIOS[scenario]!.options(events));
      for (let at = 0; at < input.length; at += chunkSize) driver.push(input.subarray(at, at + chunkSize));
      await driver.settled();
      return { events, output: driver.output(), ended: driver.ended };
    };

    const whole = await replay(input.length);
    t.ok(whole.output.equals(expected), 'the replies recorded');
    t.ok(whole.ended, 'SMFIC_QUIT ends the session');
    t.equal(whole.events.at(-1), 'close');
    // A transcript with a full body chunk is long: single bytes are tried on it, but not every size.
    const sizes =
      input.length > 20_000 ? [1, 2, 3, 5, 64, 1000, 65_535] : Array.from({ length: LARGEST_CHUNK }, (_, i) => i + 1);
    for (const size of sizes) {
      const { events, output } = await replay(size);
      t.strictSame(events, whole.events, `events in chunks of ${size}`);
      t.ok(output.equals(expected), `replies in chunks of ${size}`);
    }
  });
}
