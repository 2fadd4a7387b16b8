/**
 * What a stranger who got hold of the journal learns about the people from our units and from the mail and web servers: no address,
 * no IP, in no encoding, no Message-ID.
 */

import assert from 'node:assert/strict';
import { OUR_UNITS, type RelayMachine } from '../relay-machine.ts';

/** Debian 12's Postfix is an instance. */
const SERVERS = ['postfix', 'postfix@-', 'dovecot', 'nginx'];

const PERSONAL = [/@\[/, /[\w.]+@[\w-]+\.\w/, /\b(?:\d{1,3}\.){3}\d{1,3}\b/, /<[^<> ]+@[^<> ]+>/, /@load/];

export async function nothingPersonal(machine: RelayMachine): Promise<void> {
  for (const [units, least] of [
    [OUR_UNITS, 20],
    [SERVERS, 20],
  ] as const) {
    const words = units.map((name) => `-u ${name}.service`).join(' ');
    const lines = (await machine.container.journal(`${words} --output=cat`)).split('\n');
    assert.ok(lines.length > least, `${words} logged ${lines.length} lines`);
    assert.deepEqual(personalLines(lines, machine.names, machine.container.address), []);
  }
}

/** Lines with a person in them. The people come from the container's network. */
export function personalLines(lines: readonly string[], names: readonly string[], address: string): string[] {
  const network = Uint8Array.from(address.split('.').slice(0, 3), Number);
  return lines.filter((line) => {
    // The name of a unit is no address.
    const text = line.replaceAll('postfix@-', 'postfix');
    const words = text.match(/[A-Za-z0-9+/]{12,}/g) ?? [];
    return (
      PERSONAL.some((pattern) => pattern.test(text)) ||
      names.some((name) => text.includes(name)) ||
      words.some((word) => Buffer.from(word, 'base64').includes(network))
    );
  });
}
