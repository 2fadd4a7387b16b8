/**
 * [io] Lets each server check the configuration it is about to get, before it is told of it.
 */

import { EXIT_CONFIG, ExitError } from '#core';
import type { Host } from './host.ts';
import type { Change } from './plan.ts';

const CHECKS: Readonly<Partial<Record<Change['service'], readonly (readonly [program: string, ...args: string[]])[]>>> =
  {
    postfix: [
      ['postconf', '-n'],
      ['postfix', 'check'],
    ],
    dovecot: [['doveconf', '-n']],
    nginx: [['nginx', '-t', '-q']],
  };

/**
 * Runs the checks of the servers named.
 *
 * @throws ExitError 78 with what the server said
 */
export async function validate(host: Host, services: readonly Change['service'][]): Promise<void> {
  for (const service of new Set(services)) {
    for (const [program, ...args] of CHECKS[service] ?? []) {
      const { code, output } = await host.run(program, args);
      const complaint = output.split('\n').find((line) => /\b(?:fatal|error):/i.test(line));
      if (code === 0 && complaint === undefined) continue;
      throw new ExitError(
        EXIT_CONFIG,
        `${[program, ...args].join(' ')} does not accept the new configuration: ${tail(complaint ?? output)}`,
      );
    }
  }
}

/** Of a long output the end, where the reason is. */
function tail(output: string): string {
  return output.trim().split('\n').slice(-6).join('\n');
}
