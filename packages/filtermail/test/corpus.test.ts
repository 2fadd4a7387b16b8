/**
 * Whole messages as mail programs write them, and as people would who want to get around the rule: test/corpus/NAME.eml, with
 * the verdict for each direction in expected.tsv (file, direction, reason code, why); test/corpus/make.ts makes them. All are
 * from alice@relay.test to bob@relay.test, who takes no clear text.
 */

import t from 'tap';
import { CORPUS, EXPECTED, readCorpus, reasonFor } from './support/corpus.ts';

t.test('every message gets the verdict expected', async (t) => {
  for (const [file, direction, reason, why] of EXPECTED) {
    t.equal(await reasonFor(readCorpus(file), direction), reason, `${file}, ${direction}: ${why}`);
  }
});

t.test('every message has a row for each direction', async (t) => {
  for (const direction of ['outgoing', 'incoming']) {
    const listed = EXPECTED.filter((row) => row[1] === direction).map(([file]) => file);
    t.same(listed.sort(), [...CORPUS].sort(), direction);
  }
  t.ok(CORPUS.length >= 150);
});
