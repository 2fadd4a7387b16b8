import { randomBytes } from 'node:crypto';
import t from 'tap';
import { parseConfig } from '#core';
import { drawCharacters, inventName, inventPassword } from '../src/credentials.ts';

const config = (lines = '', domain = 'x.org') => parseConfig(`[params]\nmail_domain = ${domain}\n${lines}`);

t.test('names and passwords have the length the configuration asks for', async (t) => {
  const rows: [lines: string, name: number, password: number, reason: string][] = [
    ['', 9, 22, 'the defaults'],
    ['username_min_length = 3\nusername_max_length = 20', 9, 22, 'the usual length, where it is allowed'],
    ['username_min_length = 12\nusername_max_length = 20', 12, 22, 'a higher minimum'],
    ['username_min_length = 3\nusername_max_length = 5', 5, 22, 'a lower maximum'],
    ['password_min_length = 30', 9, 33, 'a longer password'],
  ];
  for (const [lines, name, password, reason] of rows) {
    t.match(inventName(config(lines), randomBytes), new RegExp(`^[a-z0-9]{${name}}$`), reason);
    t.match(inventPassword(config(lines), randomBytes), new RegExp(`^[A-Za-z0-9]{${password}}$`), reason);
  }
});

t.test('no character is likelier than another', async (t) => {
  const everyByte = () => Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const counts = new Map<string, number>();
  for (const char of drawCharacters('abcdefghij', 250, everyByte)) counts.set(char, (counts.get(char) ?? 0) + 1);
  t.same(new Set(counts.values()), new Set([25]), 'bytes from 250 on are thrown away');
  const rounds = [Uint8Array.of(255, 254, 0), Uint8Array.of(251, 1)];
  t.equal(
    drawCharacters('abcdefghij', 2, () => rounds.shift()!),
    'ab',
    'until there are enough',
  );
});
