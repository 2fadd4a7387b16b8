/** bench/hostile.ts for half a minute, for two in CI: every attack is answered or cut off, and costs nobody else anything. */

import t from 'tap';
import { attacksFrom } from '../../bench/lib/hostile-attacks.ts';
import { attack, startTarget } from '../../bench/lib/hostile-load.ts';
import { Workspace } from '../../bench/lib/workspace.ts';

const SECONDS = process.env.CI === 'true' ? 120 : 25;
/** Idle it has 60 MB; the rest is what V8 lets lie before it collects. */
const MAX_PEAK_MB = 200;

t.setTimeout(300_000);
const workspace = await Workspace.create();
t.teardown(() => workspace.guard.finish());
// Builds the package.
const target = await startTarget(workspace);
t.setTimeout((SECONDS + 300) * 1000);

t.test('attacks of all kinds', async (t) => {
  const { attacks, honest, slowestHonestMs, rssMb, peakMb } = await attack(target, SECONDS);
  t.same(
    [...attacks.keys()].sort(),
    attacksFrom('')
      .map(({ name }) => name)
      .sort(),
    'each was made',
  );
  t.ok(honest >= attacks.size, `${honest} honest messages passed, the slowest in ${slowestHonestMs.toFixed(0)} ms`);
  t.ok(peakMb < MAX_PEAK_MB, `at most ${peakMb.toFixed(0)} MB`);
  const third = Math.floor(rssMb.length / 3);
  const [middle, last] = [median(rssMb.slice(third, 2 * third)), median(rssMb.slice(2 * third))];
  t.ok(last < middle * 1.3, `${middle.toFixed(0)} MB in the middle, ${last.toFixed(0)} MB in the end`);
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
