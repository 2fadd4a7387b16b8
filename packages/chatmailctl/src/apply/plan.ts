/**
 * What `apply` has to change: the rendered files on one side, what the machine has on the other. Pure, so that a dry run and
 * the real one cannot differ.
 */

import { HEADER, type RenderedFile } from '../layout.ts';

export type FileService = RenderedFile['service'];

/** A file as the machine has it. */
export interface CurrentFile {
  readonly text: string;
  readonly mode: number;
  /** It is a symbolic link to somewhere else. */
  readonly isLink?: boolean;
}

/** One file to be written or removed. */
export interface Change {
  readonly path: string;
  readonly service: FileService;
  /** `undefined`: there is no such file yet. */
  readonly before: CurrentFile | undefined;
  /** `undefined`: it is to be removed. */
  readonly after: { readonly text: string; readonly mode: number } | undefined;
}

/** What the last apply left behind, so that the next one knows what is no longer rendered. */
export interface AppliedRecord {
  readonly version: 1;
  /** SHA-256 of chatmail.ini. */
  readonly configHash: string;
  readonly files: readonly { readonly path: string; readonly service: FileService }[];
}

/** Whether a text is one of ours. */
export function isOurs(text: string): boolean {
  return text.split('\n', 3).some((line) => line.includes(HEADER));
}

/** The files to write and to remove, in the order of their paths. Files that are as they should be are none of them. */
export function planChanges(
  rendered: readonly RenderedFile[],
  current: ReadonlyMap<string, CurrentFile>,
  last: AppliedRecord | undefined,
): Change[] {
  const written = rendered
    .filter(({ path, text, mode }) => {
      const now = current.get(path);
      return !now || now.isLink || now.text !== text || now.mode !== mode;
    })
    .map(({ path, text, mode, service }) => ({ path, service, before: current.get(path), after: { text, mode } }));
  const wanted = new Set(rendered.map(({ path }) => path));
  const removed = (last?.files ?? []).flatMap(({ path, service }) => {
    const now = current.get(path);
    // Somebody who has made the file their own keeps it.
    return now && !wanted.has(path) && isOurs(now.text) ? [{ path, service, before: now, after: undefined }] : [];
  });
  return [...written, ...removed].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The paths whose present contents nobody but the operator can have written. */
export function foreignFiles(
  changes: readonly Change[],
  isStock: (path: string, text: string) => boolean,
): readonly string[] {
  return changes
    .filter(({ path, before }) => before && !isOurs(before.text) && !isStock(path, before.text))
    .map(({ path }) => path);
}

/** What to remember of a run. */
export function recordOf(rendered: readonly RenderedFile[], configHash: string): AppliedRecord {
  return { version: 1, configHash, files: rendered.map(({ path, service }) => ({ path, service })) };
}
