/**
 * One line of the client to one Command, and back. Protocol versions 3 (Dovecot 2.3) and 4 (Dovecot 2.4).
 * Source: dovecot 2.3.19 and 2.4.1 src/lib-dict/dict-client.h DICT_PROTOCOL_CMD_*.
 * Version 4 adds the expiry of `B` and the command `V`. Omits `D` (commit asynchronously): no client since 2.2 sends it,
 * and its reply letter is one that crashes a 2.3 client, so it is an unknown command here.
 */
import { DictProtocolError } from './errors.ts';
import { tabEscape, tabUnescape } from './tabescape.ts';

/** Major protocol versions spoken: 3 is Dovecot 2.3, 4 is Dovecot 2.4. */
export type DictVersion = 3 | 4;

/** `H`, always the first line. `version` is any number here: the session refuses those it does not speak. */
export interface HelloCommand {
  readonly type: 'hello';
  readonly version: number;
  readonly minor: number;
  /** 0 is string, the only type in use. */
  readonly valueType: number;
  /** Empty since Dovecot 2.3.17: the user comes with each operation. */
  readonly user: Buffer;
  readonly dictName: Buffer;
}

export interface LookupCommand {
  readonly type: 'lookup';
  readonly key: Buffer;
  readonly user: Buffer;
}

/** Bits of `IterateCommand.flags`: dovecot src/lib-dict/dict.h enum dict_iterate_flags. */
export const DICT_ITERATE_FLAG_RECURSE = 1;
export const DICT_ITERATE_FLAG_SORT_BY_KEY = 2;
export const DICT_ITERATE_FLAG_SORT_BY_VALUE = 4;
export const DICT_ITERATE_FLAG_NO_VALUE = 8;
export const DICT_ITERATE_FLAG_EXACT_KEY = 16;

export interface IterateCommand {
  readonly type: 'iterate';
  readonly flags: number;
  /** 0 is unlimited. */
  readonly maxRows: number;
  readonly path: Buffer;
  readonly user: Buffer;
}

/** `expireSecs` 0 is "never expires". */
export interface BeginCommand {
  readonly type: 'begin';
  readonly id: number;
  readonly user: Buffer;
  readonly expireSecs: number;
}

export interface SetCommand {
  readonly type: 'set';
  readonly id: number;
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface UnsetCommand {
  readonly type: 'unset';
  readonly id: number;
  readonly key: Buffer;
}

/** Adds `diff` to the integer stored under `key`, only if there is one. */
export interface IncrementCommand {
  readonly type: 'increment';
  readonly id: number;
  readonly key: Buffer;
  readonly diff: bigint;
}

/** When the client says the transaction's values were made: seconds since the epoch, and nanoseconds. */
export interface TimestampCommand {
  readonly type: 'timestamp';
  readonly id: number;
  readonly secs: number;
  readonly nanos: number;
}

export interface HideLogValuesCommand {
  readonly type: 'hideLogValues';
  readonly id: number;
  readonly hide: boolean;
}

export interface RollbackCommand {
  readonly type: 'rollback';
  readonly id: number;
}

export interface CommitCommand {
  readonly type: 'commit';
  readonly id: number;
}

/** A letter this version does not have; empty for an empty line. Must never be answered. */
export interface UnknownCommand {
  readonly type: 'unknown';
  readonly letter: string;
}

/** All fields are the peer's exact bytes, unescaped; they may be views of the line they came from. */
export type Command =
  | HelloCommand
  | LookupCommand
  | IterateCommand
  | BeginCommand
  | SetCommand
  | UnsetCommand
  | IncrementCommand
  | TimestampCommand
  | HideLogValuesCommand
  | RollbackCommand
  | CommitCommand
  | UnknownCommand;

const TAB = 0x09;
const EMPTY = Buffer.alloc(0);

/**
 * Decodes one line without its LF. Trailing fields that are missing are empty (0 for counts and flags), extra ones are
 * ignored.
 * @throws DictProtocolError `bad-number`
 */
export function decodeCommand(line: Buffer, version: DictVersion): Command {
  const letter = line.length === 0 ? '' : String.fromCharCode(line[0]!);
  switch (letter) {
    case 'L': {
      const [key, user] = splitFields(line, 2);
      return { type: 'lookup', key: key!, user: user! };
    }
    case 'I': {
      const [flags, maxRows, path, user] = splitFields(line, 4);
      return { type: 'iterate', flags: readCount(flags!), maxRows: readCount(maxRows!), path: path!, user: user! };
    }
    case 'B': {
      const [id, user, expireSecs] = splitFields(line, 3);
      return { type: 'begin', id: readId(id!), user: user!, expireSecs: version === 3 ? 0 : readCount(expireSecs!) };
    }
    case 'S': {
      const [id, key, value] = splitFields(line, 3);
      return { type: 'set', id: readId(id!), key: key!, value: value! };
    }
    case 'U': {
      const [id, key] = splitFields(line, 2);
      return { type: 'unset', id: readId(id!), key: key! };
    }
    case 'A': {
      const [id, key, diff] = splitFields(line, 3);
      return { type: 'increment', id: readId(id!), key: key!, diff: readDiff(diff!) };
    }
    case 'T': {
      const [id, secs, nanos] = splitFields(line, 3);
      return { type: 'timestamp', id: readId(id!), secs: readCount(secs!), nanos: readCount(nanos!) };
    }
    case 'R':
      return { type: 'rollback', id: readId(splitFields(line, 1)[0]!) };
    case 'C':
      return { type: 'commit', id: readId(splitFields(line, 1)[0]!) };
    case 'H': {
      const [major, minor, valueType, user, dictName] = splitFields(line, 5);
      return {
        type: 'hello',
        version: readId(major!),
        minor: readCount(minor!),
        valueType: readCount(valueType!),
        user: user!,
        dictName: dictName!,
      };
    }
    case 'V': {
      if (version === 3) break;
      const [id, hide] = splitFields(line, 2);
      return { type: 'hideLogValues', id: readId(id!), hide: hide!.toString('latin1') === 'yes' };
    }
  }
  return { type: 'unknown', letter };
}

/**
 * Encodes a command with its LF: the client's side, for clients of our own sockets.
 * An `unknown` command becomes its letter alone.
 */
export function encodeCommand(command: Command, version: DictVersion): Buffer {
  switch (command.type) {
    case 'hello':
      return encodeLine(
        `H${command.version}`,
        `${command.minor}`,
        `${command.valueType}`,
        command.user,
        command.dictName,
      );
    case 'lookup':
      return encodeLine('L', command.key, command.user);
    case 'iterate':
      return encodeLine(`I${command.flags}`, `${command.maxRows}`, command.path, command.user);
    case 'begin':
      return version === 3
        ? encodeLine(`B${command.id}`, command.user)
        : encodeLine(`B${command.id}`, command.user, `${command.expireSecs}`);
    case 'set':
      return encodeLine(`S${command.id}`, command.key, command.value);
    case 'unset':
      return encodeLine(`U${command.id}`, command.key);
    case 'increment':
      return encodeLine(`A${command.id}`, command.key, `${command.diff}`);
    case 'timestamp':
      return encodeLine(`T${command.id}`, `${command.secs}`, `${command.nanos}`);
    case 'hideLogValues':
      return encodeLine(`V${command.id}`, command.hide ? 'yes' : 'no');
    case 'rollback':
      return encodeLine(`R${command.id}`);
    case 'commit':
      return encodeLine(`C${command.id}`);
    case 'unknown':
      return encodeLine(command.letter);
  }
}

/** The first field of `L` follows its letter without a TAB, so that one is appended and not joined. */
function encodeLine(head: string, ...fields: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(head, 'latin1')];
  fields.forEach((field, index) => {
    if (index > 0 || head !== 'L') parts.push(Buffer.of(TAB));
    parts.push(typeof field === 'string' ? Buffer.from(field, 'latin1') : tabEscape(field));
  });
  parts.push(Buffer.from('\n'));
  return Buffer.concat(parts);
}

/** Returns exactly `count` unescaped fields after the letter; a line of a million TABs costs no more than that. */
function splitFields(line: Buffer, count: number): Buffer[] {
  const fields: Buffer[] = [];
  let start = 1;
  while (fields.length < count) {
    if (start > line.length) {
      fields.push(EMPTY);
      continue;
    }
    const tab = line.indexOf(TAB, start);
    const end = tab === -1 ? line.length : tab;
    fields.push(tabUnescape(line.subarray(start, end)));
    start = end + 1;
  }
  return fields;
}

/** Transaction ids are 32-bit counters in Dovecot; 15 digits are the most a number holds exactly. */
function readId(field: Buffer): number {
  if (field.length === 0) throw new DictProtocolError('bad-number', 'a number is missing');
  return readCount(field);
}

function readCount(field: Buffer): number {
  if (field.length > 15) throw new DictProtocolError('bad-number', 'a number has more than 15 digits');
  let value = 0;
  for (const byte of field) {
    if (byte < 0x30 || byte > 0x39)
      throw new DictProtocolError('bad-number', 'a number has a character that is no digit');
    value = value * 10 + (byte - 0x30);
  }
  return value;
}

const INT64_MAX = 2n ** 63n - 1n;

/** A signed 64-bit decimal: `long long` in Dovecot. */
function readDiff(field: Buffer): bigint {
  const text = field.subarray(0, 21).toString('latin1');
  if (!/^-?[0-9]{1,19}$/.test(text)) throw new DictProtocolError('bad-number', 'an increment is not an integer');
  const diff = BigInt(text);
  if (diff > INT64_MAX || diff < -INT64_MAX - 1n) {
    throw new DictProtocolError('bad-number', 'an increment does not fit in 64 bits');
  }
  return diff;
}
