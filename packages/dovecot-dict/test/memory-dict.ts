/**
 * A dict in memory, as the transcripts and the integration tests need it: keys below `priv/` are each user's own.
 */
import {
  committed,
  DICT_ITERATE_FLAG_EXACT_KEY,
  DICT_ITERATE_FLAG_RECURSE,
  type DictHandler,
  type DictTransaction,
  found,
  notFound,
} from '#dovecot-dict';

export class MemoryDict implements DictHandler {
  /** By key as latin1, that of a `priv/` key after the user and a NUL. */
  readonly entries: Map<string, Buffer>;

  constructor(entries: Readonly<Record<string, string>> = {}) {
    this.entries = new Map(Object.entries(entries).map(([key, value]) => [key, Buffer.from(value, 'latin1')]));
  }

  lookup: NonNullable<DictHandler['lookup']> = ({ key, user }) => {
    const value = this.entries.get(place(key, user));
    return value === undefined ? notFound : found(value);
  };

  iterate: NonNullable<DictHandler['iterate']> = ({ path, user, flags }) => {
    const prefix = place(path, user);
    const names = [...this.entries.keys()].filter((name) => {
      if ((flags & DICT_ITERATE_FLAG_EXACT_KEY) !== 0) return name === prefix;
      if (!name.startsWith(prefix)) return false;
      return (flags & DICT_ITERATE_FLAG_RECURSE) !== 0 || !name.slice(prefix.length).includes('/');
    });
    return names.sort().map((name) => ({
      key: Buffer.from(name.slice(prefix.length - path.length), 'latin1'),
      value: this.entries.get(name)!,
    }));
  };

  commit: NonNullable<DictHandler['commit']> = ({ operations, user }: DictTransaction) => {
    const isMissing = operations.some(({ type, key }) => type === 'increment' && !this.entries.has(place(key, user)));
    if (isMissing) return notFound;
    for (const operation of operations) {
      const name = place(operation.key, user);
      if (operation.type === 'set') this.entries.set(name, operation.value);
      if (operation.type === 'unset') this.entries.delete(name);
      if (operation.type === 'increment') {
        const sum = BigInt(this.entries.get(name)!.toString('latin1')) + operation.diff;
        this.entries.set(name, Buffer.from(`${sum}`, 'latin1'));
      }
    }
    return committed;
  };
}

function place(key: Buffer, user: Buffer): string {
  const name = key.toString('latin1');
  return name.startsWith('priv/') ? `${user.toString('latin1')}\0${name}` : name;
}
