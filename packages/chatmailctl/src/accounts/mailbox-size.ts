/**
 * [io] How much is in a mailbox, as Dovecot's quota counts it: the uncompressed sizes that maildir file names carry (`,S=BYTES`),
 * of all folders. Names are read, messages are not. Source: Maildir++ quota extension.
 */

import { lstatSync, readdirSync } from 'node:fs';

export interface MailboxSize {
  readonly messages: number;
  readonly bytes: number;
}

const SIZE = /,S=(\d+)/;

/** Counts the messages of a mailbox. What disappears meanwhile is not counted. */
export function readMailboxSize(mailbox: string): MailboxSize {
  let messages = 0;
  let bytes = 0;
  const folders = ['', ...namesIn(mailbox).filter((name) => name.startsWith('.'))];
  for (const folder of folders) {
    for (const kind of ['cur', 'new']) {
      const directory = `${mailbox}/${folder}/${kind}`;
      for (const name of namesIn(directory)) {
        // The wake-up file of metadata-push, and what else is no message.
        if (name.startsWith('.')) continue;
        messages++;
        bytes += Number(SIZE.exec(name)?.[1] ?? sizeOnDisk(`${directory}/${name}`));
      }
    }
  }
  return { messages, bytes };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    return [];
  }
}

function sizeOnDisk(path: string): number {
  return lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
