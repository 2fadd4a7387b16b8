import type { lookup } from 'node:dns';
import t from 'tap';
import { isPublicAddress } from '#core';
import { restrictedLookup } from '../../src/providers/restricted-lookup.ts';

t.test('look-ups', async (t) => {
  const answers = (...addresses: string[]) =>
    ((_name: string, _options: unknown, callback: (error: null, found: object[]) => void) =>
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )) as typeof lookup;
  const ask = (found: typeof lookup, all: boolean) =>
    new Promise<unknown>((resolve) =>
      restrictedLookup(isPublicAddress, found)('x.example', { all }, (error, address, family) =>
        resolve(error ? (error as NodeJS.ErrnoException).code : all ? address : { address, family }),
      ),
    );
  t.same(await ask(answers('127.0.0.1'), false), 'ERR_NO_PUBLIC_ADDRESS', 'only a private one');
  t.same(await ask(answers('10.0.0.1', '1.1.1.1'), false), { address: '1.1.1.1', family: 4 }, 'the public one of two');
  t.same(
    await ask(answers('10.0.0.1', '1.1.1.1', '::1'), true),
    [{ address: '1.1.1.1', family: 4 }],
    'all that are public',
  );
  t.same(await ask(answers(), true), 'ERR_NO_PUBLIC_ADDRESS', 'none at all');
  const failing = ((_name: string, _options: unknown, callback: (error: Error) => void) =>
    callback(Object.assign(new Error('x'), { code: 'ENOTFOUND' }))) as unknown as typeof lookup;
  t.same(await ask(failing, false), 'ENOTFOUND', 'a name that does not exist');
});
