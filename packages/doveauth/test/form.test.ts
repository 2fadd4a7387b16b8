import fc from 'fast-check';
import t from 'tap';
import { parseForm } from '../src/form.ts';

t.test('fields of a form', async (t) => {
  const rows: [text: string, fields: Record<string, string>, reason: string][] = [
    ['', {}, 'nothing'],
    ['user=a&password=b', { user: 'a', password: 'b' }, 'two fields'],
    ['user=l1%40%5B127.0.0.1%5D&password=pa%26ss%3D%20+', { user: 'l1@[127.0.0.1]', password: 'pa&ss=  ' }, 'escapes'],
    ['password=%ff%FE%00', { password: '\u00ff\u00fe\0' }, 'bytes that are no UTF-8'],
    ['a=1&a=2', { a: '2' }, 'the last one counts'],
    ['a', { a: '' }, 'no value'],
    ['=b&&a=', { a: '' }, 'no name, no field'],
    ['a=100%&b=%zz&c=%4', { a: '100%', b: '%zz', c: '%4' }, 'a bare percent sign'],
    ['a==b', { a: '=b' }, 'an equals sign in a value'],
  ];
  for (const [text, fields, reason] of rows) {
    const parsed = [...parseForm(Buffer.from(text, 'latin1'))].map(([name, value]) => [name, value.toString('latin1')]);
    t.same(Object.fromEntries(parsed), fields, reason);
  }
});

t.test('every byte survives', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const escaped = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
        return parseForm(Buffer.from(`password=${escaped}`))
          .get('password')!
          .equals(bytes);
      }),
    ),
  );
});
