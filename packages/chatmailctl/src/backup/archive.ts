/**
 * [io] An archive as a file: written once from the beginning to the end, and read the same way, with the SHA-256 of everything up
 * to the manifest on the way. Synchronous, because a command has nothing else to do meanwhile.
 */

import { createHash, type Hash } from 'node:crypto';
import { fstatSync, readSync, writeSync } from 'node:fs';
import { MANIFEST } from './contents.ts';
import {
  ArchiveError,
  BLOCK_BYTES,
  decodeHeader,
  decodePax,
  encodeEntry,
  paddingOf,
  renamed,
  type TarEntry,
} from './tar.ts';

const BUFFER_BYTES = 1 << 20;
const ZEROS = Buffer.alloc(2 * BLOCK_BYTES);

/** Writes an archive to an open file. */
export class ArchiveWriter {
  readonly #fd: number;
  readonly #hash: Hash = createHash('sha256');
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  #used = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Adds a file whose contents are at hand, or a directory. */
  add(entry: Omit<TarEntry, 'size'>, data: Buffer = Buffer.alloc(0)): void {
    this.#write(encodeEntry({ ...entry, size: data.length }));
    this.#write(data);
    this.#write(ZEROS.subarray(0, paddingOf(data.length)));
  }

  /** Adds a file from an open one, which must not shrink meanwhile. */
  addFrom(entry: TarEntry, fd: number): void {
    this.#write(encodeEntry(entry));
    const chunk = Buffer.alloc(Math.min(entry.size, BUFFER_BYTES));
    for (let left = entry.size; left > 0; ) {
      const count = readSync(fd, chunk, 0, Math.min(left, chunk.length), null);
      if (count === 0) throw new ArchiveError(`${entry.path} became shorter while it was read`);
      this.#write(chunk.subarray(0, count));
      left -= count;
    }
    this.#write(ZEROS.subarray(0, paddingOf(entry.size)));
  }

  /** Ends the archive with the manifest, which is made of the checksum of all before it. */
  finish(mtime: number, manifestOf: (sha256: string) => string): void {
    const data = Buffer.from(manifestOf(this.#hash.copy().digest('hex')));
    this.add({ path: MANIFEST, type: 'file', mode: 0o600, mtime }, data);
    this.#write(ZEROS);
    this.#flush();
  }

  #write(data: Buffer): void {
    this.#hash.update(data);
    for (let at = 0; at < data.length; ) {
      const count = data.copy(this.#buffer, this.#used, at);
      at += count;
      this.#used += count;
      if (this.#used === BUFFER_BYTES) this.#flush();
    }
  }

  #flush(): void {
    for (let at = 0; at < this.#used; ) at += writeSync(this.#fd, this.#buffer, at, this.#used - at);
    this.#used = 0;
  }
}

/** Reads an archive from an open file, entry by entry. The body of an entry that nobody reads is skipped. */
export class ArchiveReader {
  readonly #fd: number;
  readonly #fileBytes: number;
  readonly #hash: Hash = createHash('sha256');
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  #start = 0;
  #end = 0;
  /** Where in the file the buffer ends. */
  #position = 0;
  #bodyLeft = 0;
  #padding = 0;
  /** The checksum of all before the manifest, once that is reached. */
  digest: string | undefined;

  constructor(fd: number) {
    this.#fd = fd;
    this.#fileBytes = fstatSync(fd).size;
  }

  /**
   * The next entry, or undefined at the end.
   *
   * @throws ArchiveError
   */
  next(): TarEntry | undefined {
    this.#skipBody();
    let block = this.#take(BLOCK_BYTES);
    let header = decodeHeader(block);
    if (!header) return undefined;
    let path: string | undefined;
    if (header.type === 'pax') {
      this.#hash.update(block);
      const record = this.#take(header.size + paddingOf(header.size));
      this.#hash.update(record);
      path = decodePax(record.subarray(0, header.size));
      block = this.#take(BLOCK_BYTES);
      header = decodeHeader(block);
      if (!header || header.type === 'pax') throw new ArchiveError('a header of the archive is damaged');
    }
    const entry = path === undefined ? header : renamed(header, path);
    if (entry.path === MANIFEST) this.digest ??= this.#hash.copy().digest('hex');
    this.#hash.update(block);
    if (entry.size > this.#fileBytes) throw new ArchiveError('the archive is cut short');
    this.#bodyLeft = entry.size;
    this.#padding = paddingOf(entry.size);
    return entry;
  }

  /** The whole body of this entry, which the caller knows to be small. */
  body(): Buffer {
    const copies: Buffer[] = [];
    // Each as it comes: they are views of one buffer, which is filled again for the next.
    for (const chunk of this.chunks()) copies.push(Buffer.from(chunk));
    return Buffer.concat(copies);
  }

  /** The body of this entry; each chunk is good until the next is asked for. */
  *chunks(): Generator<Buffer> {
    while (this.#bodyLeft > 0) {
      if (this.#start === this.#end) this.#fill();
      const length = Math.min(this.#bodyLeft, this.#end - this.#start);
      const chunk = this.#buffer.subarray(this.#start, this.#start + length);
      this.#start += length;
      this.#bodyLeft -= length;
      this.#hash.update(chunk);
      yield chunk;
    }
  }

  #skipBody(): void {
    for (const _ of this.chunks());
    this.#hash.update(this.#take(this.#padding));
    this.#padding = 0;
  }

  #take(count: number): Buffer {
    const taken = Buffer.alloc(count);
    for (let at = 0; at < count; ) {
      if (this.#start === this.#end) this.#fill();
      const copied = this.#buffer.copy(taken, at, this.#start, Math.min(this.#end, this.#start + count - at));
      this.#start += copied;
      at += copied;
    }
    return taken;
  }

  #fill(): void {
    const count = readSync(this.#fd, this.#buffer, 0, BUFFER_BYTES, this.#position);
    if (count === 0) throw new ArchiveError('the archive is cut short');
    this.#position += count;
    this.#start = 0;
    this.#end = count;
  }
}
