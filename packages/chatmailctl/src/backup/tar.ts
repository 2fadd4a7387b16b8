/**
 * Headers of a tar archive, as POSIX.1-2017 pax describes them (ustar, with one pax record for long or non-ASCII names). Pure. Knows
 * regular files and directories and nothing else: an archive with links, devices or anything of that kind is refused.
 */

export const BLOCK_BYTES = 512;
/** What eleven octal digits hold. */
const MAX_SIZE = 8 ** 11 - 1;
const MAX_NAME_BYTES = 100;
/** A pax header of ours holds one path. */
const MAX_PAX_BYTES = 4096;

export interface TarEntry {
  /** Relative, without a slash at its end. */
  readonly path: string;
  readonly type: 'file' | 'directory';
  readonly size: number;
  readonly mode: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
}

/** An entry, or a header that says how the next entry is really called. */
export type TarHeader = TarEntry | { readonly type: 'pax'; readonly size: number };

/** The archive is damaged, or was not made by us. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

/** The blocks that stand before the contents of an entry. */
export function encodeEntry(entry: TarEntry): Buffer {
  if (entry.size > MAX_SIZE) throw new ArchiveError(`${entry.path} is too large for the archive`);
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const isPlain = /^[\x20-\x7e]*$/.test(path) && path.length <= MAX_NAME_BYTES;
  if (isPlain) return encodeHeader(path, entry, entry.type === 'directory' ? '5' : '0');
  const record = paxRecord('path', path);
  const pax = { size: record.length, mode: 0o600, mtime: entry.mtime };
  return Buffer.concat([
    encodeHeader('pax', pax, 'x'),
    padded(record),
    encodeHeader('long-name', entry, entry.type === 'directory' ? '5' : '0'),
  ]);
}

/** Bytes that fill the last block of so many. */
export function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc(paddingOf(data.length))]);
}

function encodeHeader(path: string, { size, mode, mtime }: Omit<TarEntry, 'path' | 'type'>, type: string): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  block.write(path, 0, 'latin1');
  block.write(octal(mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(Math.max(0, Math.floor(mtime)), 11), 136);
  block.write(' '.repeat(8), 148);
  block.write(type, 156);
  block.write('ustar\0' + '00', 257, 'latin1');
  block.write(`${octal(checksumOf(block), 6)}\0 `, 148, 'latin1');
  return block;
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/**
 * Reads a header.
 *
 * @returns undefined for the empty block at the end
 * @throws ArchiveError
 */
export function decodeHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (block.toString('latin1', 257, 265) !== 'ustar\x0000') throw new ArchiveError('this is not an archive of ours');
  const stored = octalAt(block, 148, 6);
  const zeroed = Buffer.from(block);
  zeroed.fill(' ', 148, 156);
  if (stored !== checksumOf(zeroed)) throw new ArchiveError('a header of the archive is damaged');
  const type = String.fromCharCode(block[156]!);
  const size = octalAt(block, 124, 11);
  if (type === 'x') {
    if (size > MAX_PAX_BYTES) throw new ArchiveError('a name in the archive is too long');
    return { type: 'pax', size };
  }
  if (type !== '0' && type !== '5')
    throw new ArchiveError('the archive holds something that is no file and no directory');
  if (block.subarray(345, 500).some((byte) => byte !== 0)) throw new ArchiveError('this is not an archive of ours');
  const end = block.indexOf(0);
  const path = block.toString('latin1', 0, Math.min(end === -1 ? MAX_NAME_BYTES : end, MAX_NAME_BYTES));
  const isDirectory = type === '5';
  if (isDirectory && size !== 0) throw new ArchiveError('a directory in the archive has contents');
  return { ...namedEntry(path, isDirectory), size, mode: octalAt(block, 100, 7), mtime: octalAt(block, 136, 11) };
}

/** An entry by the name that stood in the pax header before it. */
export function renamed(entry: TarEntry, path: string): TarEntry {
  return { ...entry, ...namedEntry(path, entry.type === 'directory') };
}

function namedEntry(path: string, isDirectory: boolean): Pick<TarEntry, 'path' | 'type'> {
  if (path.endsWith('/') !== isDirectory) throw new ArchiveError('a name in the archive does not fit what it names');
  return isDirectory ? { path: path.slice(0, -1), type: 'directory' } : { path, type: 'file' };
}

/**
 * The path in a pax header, the one thing ours hold.
 *
 * @throws ArchiveError
 */
export function decodePax(record: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(record);
  } catch {
    throw new ArchiveError('a name in the archive is not UTF-8');
  }
  const [, length, path] = /^(\d{1,4}) path=([^\n]+)\n$/.exec(text) ?? [];
  if (path === undefined || Number(length) !== record.length) throw new ArchiveError('this is not an archive of ours');
  return path;
}

function octalAt(block: Buffer, offset: number, digits: number): number {
  const text = block.toString('latin1', offset, offset + digits);
  if (!/^[0-7]+$/.test(text)) throw new ArchiveError('a header of the archive is damaged');
  return Number.parseInt(text, 8);
}

function checksumOf(block: Buffer): number {
  return block.reduce((sum, byte) => sum + byte, 0);
}
