/**
 * [io] Writes the manual pages that come from tables: chatmail.ini(5) from that of configuration keys, chatmailctl(8) from that of
 * commands. `npm run manual`.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatConfigManual } from '#core';
import { COMMANDS } from '../packages/chatmailctl/src/commands/table.ts';
import { formatManual } from '../packages/chatmailctl/src/manual.ts';

const commands = await Promise.all(
  Object.entries(COMMANDS).map(async ([name, { summary, load }]) => ({ name, summary, command: await load() })),
);
const pages = { 'chatmail.ini.5': formatConfigManual(), 'chatmailctl.8': formatManual(commands) };
for (const [name, text] of Object.entries(pages)) writeFileSync(join(import.meta.dirname, '../man', name), text);
