/**
 * [io] What a relay takes of a fresh Debian 12 and 13: time to the first message, memory, disk. One container after the other;
 * run by `npm run bench:machine`, which builds the package. The table is Markdown on standard output.
 */

import type { Suite } from '../test/machine/image.ts';
import { packagesUnderTest } from '../test/machine/machine-tests.ts';
import { RelayMachine } from '../test/machine/relay-machine.ts';
import { install } from '../test/machine/scenarios/install.ts';
import { reboot } from '../test/machine/scenarios/interruptions.ts';
import { idleExitMemory, idleMemory } from '../test/machine/scenarios/memory.ts';
import { markdownTable } from './lib/table.ts';

async function measure(suite: Suite): Promise<Map<string, string>> {
  const machine = await RelayMachine.boot(suite, packagesUnderTest());
  try {
    for (const scenario of [install, idleMemory, reboot, idleExitMemory]) {
      process.stderr.write(`${suite}: ${scenario.name}\n`);
      await scenario(machine);
    }
    return machine.figures;
  } finally {
    await machine.stop();
  }
}

const debian12 = await measure('bookworm');
const debian13 = await measure('trixie');
const rows = [...debian12].map(([name, figure]) => [name, figure, debian13.get(name) ?? '-']);
console.log(markdownTable(['', 'Debian 12', 'Debian 13'], rows, 3));
