/** What is read out of the host's files and programs. */

import t from 'tap';
import { debianOf, dovecotSeries, memoryOf } from '../src/host-facts.ts';

t.test('Dovecot', async (t) => {
  t.equal(dovecotSeries('2.3.19.1 (9b53102964)'), '2.3', 'Debian 12');
  t.equal(dovecotSeries('2.4.1-4 (7d8c0e5759)'), '2.4', 'Debian 13');
  for (const version of ['2.2.36', '2.40.1', '3.0.0', '', 'sh: dovecot: not found']) {
    t.throws(() => dovecotSeries(version), /neither 2\.3 nor 2\.4/, `'${version}' is none we can configure`);
  }
});

t.test('the distribution', async (t) => {
  t.equal(debianOf('ID=debian\nVERSION_ID="12"\n'), 12);
  t.equal(debianOf('PRETTY_NAME="x"\nVERSION_ID=13\nID="debian"\n'), 13, 'quotes are optional');
  t.equal(debianOf('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n'), undefined, 'a relative is not it');
  t.equal(debianOf('ID=debian\n'), undefined, 'testing has no number');
});

t.test('memory', async (t) => {
  t.equal(memoryOf('MemTotal:        2014520 kB\nMemFree: 1 kB\n'), 2_014_520 * 1024);
  t.equal(memoryOf(''), 0);
});
