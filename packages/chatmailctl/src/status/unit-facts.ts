/**
 * Reads what `systemctl show` prints about several units, a block for each in the order they were asked for. Pure.
 */

import type { UnitFacts } from './facts.ts';

/** States of systemctl(1) in which a unit, or what has it started, is there again after a reboot. */
const ENABLED = ['enabled', 'alias', 'static', 'indirect', 'generated'];

/** Takes the blocks apart. */
export function parseUnits(names: readonly string[], output: string): UnitFacts[] {
  const blocks = output.trim().split(/\n\n+/);
  return names.map((name, index) => {
    const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(blocks[index] ?? '')?.[1] ?? '';
    return {
      name,
      isInstalled: value('LoadState') === 'loaded',
      active: value('ActiveState'),
      sub: value('SubState'),
      result: value('Result'),
      isEnabled: ENABLED.includes(value('UnitFileState')),
    };
  });
}
