/**
 * [io] Makes the corpus again, all of it: `node test/corpus/make.ts`, as root and with gnupg and sq installed. Keys and
 * ciphertext are new each time, verdicts are not: expected.tsv says what make/*.ts say, and corpus.test.ts what filtermail says.
 */

import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clearEntries } from './make/clear.ts';
import { deltaChatEntries } from './make/delta-chat.ts';
import type { Entry } from './make/entry.ts';
import { gnupgEntries } from './make/gnupg.ts';
import { mimeEntries } from './make/hostile-mime.ts';
import { armorEntries, packetEntries } from './make/hostile-packets.ts';
import { openpgpJsEntries } from './make/openpgp-js.ts';
import { securejoinKeyEntries } from './make/securejoin-keys.ts';
import { sequoiaEntries } from './make/sequoia.ts';
import { shapeEntries } from './make/shapes.ts';

const DIRECTORY = import.meta.dirname;

const entries: readonly Entry[] = [
  ...(await deltaChatEntries()),
  ...gnupgEntries(),
  ...sequoiaEntries(),
  ...(await openpgpJsEntries()),
  ...shapeEntries(),
  ...packetEntries(),
  ...armorEntries(),
  ...mimeEntries(),
  ...clearEntries(),
  ...(await securejoinKeyEntries()),
];

for (const file of readdirSync(DIRECTORY)) if (file.endsWith('.eml')) rmSync(join(DIRECTORY, file));
for (const { name, text } of entries) writeFileSync(join(DIRECTORY, `${name}.eml`), text, 'latin1');
const rows = entries.flatMap(({ name, outgoing, incoming, why }) => [
  `${name}.eml\toutgoing\t${outgoing}\t${why}`,
  `${name}.eml\tincoming\t${incoming}\t${why}`,
]);
writeFileSync(join(DIRECTORY, 'expected.tsv'), `# file\tdirection\tverdict\twhy\n${rows.join('\n')}\n`);
console.log(`${entries.length} messages`);
process.exit(0);
