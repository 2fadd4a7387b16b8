/** The kernel with vectors and without, side by side. */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { BYTE_LIMIT_NATS, INPUT_BYTES, Kernel, NIBBLE_LIMIT_NATS, SCRATCH_BYTES } from '../src/kernel.ts';
import { noise } from './support/openpgp.ts';

const KERNELS = [new Kernel(), new Kernel(false)] as const;

/** What both give back for the same, which must be the same. */
function both<T>(
  t: { strictSame(found: unknown, wanted: unknown, why: string): void },
  work: (kernel: Kernel) => T,
  why: string,
): T {
  const [first, second] = [work(KERNELS[0]), work(KERNELS[1])];
  t.strictSame(second, first, why);
  return first;
}

t.test('lines of base64, clean ones and others', (t) => {
  for (const length of [16, 20, 24, 28, 32, 60, 64, 76, 100, 996]) {
    const clean = noise(length * 30)
      .toString('base64')
      .match(new RegExp(`.{${length}}`, 'g'))!
      .join('\r\n');
    const lines = Math.floor((clean.length + 2) / (length + 2));
    for (let i = 0; i < 60; i++) {
      const text = Buffer.from(`${clean}\r\n`, 'latin1').subarray(0, INPUT_BYTES);
      // One byte changed, somewhere.
      if (i > 0) text[(i * 104_729) % text.length] = (i * 37) & 255;
      const fits = Math.min(
        lines,
        Math.floor(text.length / (length + 2)),
        Math.floor(SCRATCH_BYTES / ((length / 4) * 3)),
      );
      const decoded = both(
        t,
        (kernel) => {
          text.copy(kernel.input);
          const good = kernel.decodeLines(kernel.input.byteOffset, length, fits, kernel.armorScratch.byteOffset);
          return { good, hex: kernel.armorScratch.toString('hex', 0, (good * length * 3) / 4) };
        },
        `lines of ${length}, change ${i}`,
      );
      if (i === 0) t.equal(decoded.good, fits);
    }
  }
  t.end();
});

t.test('checksums', (t) => {
  for (const length of [0, 1, 15, 16, 100, 1727, 1728, 5000, 65_535]) {
    both(
      t,
      (kernel) => {
        noise(65_536).copy(kernel.input);
        return kernel.crc(0x123456, kernel.input.byteOffset, kernel.input.byteOffset + length);
      },
      `${length} bytes`,
    );
  }
  t.end();
});

t.test('counts, their verdict and their sums', (t) => {
  let uneven = 0;
  for (let i = 0; i < 60; i++) {
    const bytes = noise(20_000, `${i}`);
    for (let at = 0; at < i * 40; at++) bytes[(at * 7919) % bytes.length] = 0x65;
    const verdicts = both(
      t,
      (kernel) => {
        bytes.copy(kernel.input);
        kernel.countState.fill(0);
        const at = kernel.input.byteOffset;
        const first = kernel.count(at, at + 5001 + i, 0);
        const second = kernel.count(at + 5001 + i, at + bytes.length, (5001 + i) % 4096);
        const rest = bytes.length % 4096;
        const last = kernel.judge(
          BYTE_LIMIT_NATS + rest * Math.log(rest / 256),
          NIBBLE_LIMIT_NATS + rest * Math.log(rest / 16),
        );
        return [first, second, last, ...kernel.totals, ...kernel.countState.subarray(0, 2048)];
      },
      `case ${i}`,
    );
    uneven += verdicts[0]! | verdicts[1]! | verdicts[2]!;
  }
  t.ok(uneven > 5 && uneven < 55, `${uneven} of 60 uneven`);
  t.end();
});

t.test('sums of text', (t) => {
  const text = Buffer.from('let/us/meet/at/the/old/stone/house/and/see/there/what/comes/ON/FRIDAY/EVENING/', 'base64');
  let found = 0;
  for (let i = 0; i < 80; i++) {
    const bytes = noise(6000, `${i}`);
    for (let at = 3 * i; at < bytes.length; at += 510 + 3 * i) text.copy(bytes, at, 0, 20 + (i % 35));
    const states = both(
      t,
      (kernel) => {
        bytes.copy(kernel.input);
        kernel.textState.fill(0);
        const at = kernel.input.byteOffset;
        const states: string[] = [];
        for (let from = 0; from < 6000; from += 600) {
          kernel.scanText(at + from, at + from + 600, from === 0 ? 0 : at + from - 12);
          kernel.sumText(at + from, from % 3, 12 - (i % 4));
          states.push(Buffer.from(kernel.textState).toString('hex'));
        }
        return states;
      },
      `case ${i}`,
    );
    if (states.at(-1)!.slice(40, 42) === '01') found++;
  }
  t.ok(found > 10 && found < 70, `${found} of 80 are text`);
  t.end();
});

t.test('a processor without vectors has the other one', { skip: process.arch !== 'x64' && 'x86 only' }, (t) => {
  const kernel = join(import.meta.dirname, '../src/kernel.ts');
  const script = `import { theKernel } from ${JSON.stringify(kernel)}; process.stdout.write(theKernel().crc.name)`;
  const flags = ['--no-enable-ssse3', '--no-enable-sse4-1', '--input-type=module', '--eval', script];
  t.equal(execFileSync(process.execPath, flags, { encoding: 'utf8' }), 'crc', 'by its name a function of JavaScript');
  t.not(new Kernel().crc.name, 'crc', 'which those of WebAssembly are not');
  t.end();
});
