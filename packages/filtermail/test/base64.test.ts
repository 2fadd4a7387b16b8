import fc from 'fast-check';
import t from 'tap';
import { Base64Decoder } from '../src/base64.ts';
import { CRC24_START, crc24Value, updateCrc24 } from '../src/crc24.ts';
import { theKernel } from '../src/kernel.ts';
import { noise } from './support/openpgp.ts';

const { armorScratch, decodeLines, input, partScratch } = theKernel();

/** Decodes text cut into chunks; the bytes, where it stopped, and whether the end fits the padding. */
function decode(text: string, chunk = text.length || 1, padding = 0) {
  const out: Buffer[] = [];
  const decoder = new Base64Decoder(armorScratch, (bytes) => {
    out.push(Buffer.from(bytes));
    return undefined;
  });
  const bytes = Buffer.from(text, 'latin1');
  let stopped = bytes.length;
  for (let at = 0; at < bytes.length && stopped === bytes.length; at += chunk) {
    const piece = bytes.subarray(at, at + chunk);
    const end = decoder.decode(piece, 0);
    if (end < piece.length) stopped = at + end;
  }
  const whole = decoder.finish(padding);
  return { hex: Buffer.concat(out).toString('hex'), stopped, whole };
}

/** Base64 without padding, in lines of `length`. */
function lines(bytes: Buffer, length: number, eol = '\r\n'): string {
  const text = bytes.toString('base64').replace(/=+$/, '');
  let out = '';
  for (let at = 0; at < text.length; at += length) out += text.slice(at, at + length) + eol;
  return out;
}

t.test('decodes lines of any length in any chunks', (t) => {
  for (const bytes of [0, 1, 2, 3, 47, 48, 49, 1000, 5000]) {
    for (const length of [4, 60, 64, 75, 76, 1000]) {
      for (const eol of ['\r\n', '\n']) {
        const data = noise(bytes);
        const padding = (3 - (bytes % 3)) % 3;
        const wrong = [1, 65, 500, 1 << 20].filter((chunk) => {
          const got = decode(lines(data, length, eol), chunk, padding);
          return !got.whole || got.hex !== data.toString('hex');
        });
        t.same(wrong, [], `${bytes} bytes, lines of ${length}`);
      }
    }
  }
  t.end();
});

t.test('more than the scratch buffer at once', (t) => {
  const data = noise(300_000);
  t.equal(decode(lines(data, 64)).hex, data.toString('hex'), 'lines');
  t.equal(decode(lines(data, 1 << 20)).hex, data.toString('hex'), 'one line');
  t.end();
});

t.test('stops at the first byte that is not base64', (t) => {
  const good = lines(noise(480), 64);
  for (const bad of ['-', '_', '=', ' ', '\t', '\0', '.', '\x80', '\xff', '\f', '\v', '\r\r', '\rA']) {
    for (const at of [0, 1, 63, 64, 66, 67, 200, good.length]) {
      const text = good.slice(0, at) + bad + good.slice(at);
      const afterCr = text.slice(0, at).endsWith('\r') || bad[0] === '\r';
      const expected = afterCr && bad[0] === '\r' && !text.slice(0, at).endsWith('\r') ? at + 1 : at;
      t.equal(decode(text).stopped, expected, `${JSON.stringify(bad)} at ${at}`);
      t.equal(decode(text, 1).stopped, expected, `${JSON.stringify(bad)} at ${at}, byte by byte`);
    }
  }
  t.end();
});

t.test('padding', (t) => {
  const rows: readonly [text: string, padding: number, whole: boolean, why: string][] = [
    ['QUJD', 0, true, 'none needed'],
    ['QUI', 1, true, 'one'],
    ['QQ', 2, true, 'two'],
    ['QUI', 0, false, 'missing'],
    ['QUI', 2, false, 'too much'],
    ['Q', 3, false, 'six bits are no byte'],
    ['QUJD', 1, false, 'none wanted'],
    ['QUJ', 1, false, 'spare bits set'],
    ['QR', 2, false, 'spare bits set'],
  ];
  for (const [text, padding, whole, why] of rows) t.equal(decode(text, 1, padding).whole, whole, why);
  t.end();
});

t.test('agrees with the runtime on anything that consists of the alphabet', (t) => {
  const alphabet = fc.constantFrom(...'ABCDwxyz0189+/');
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 30, arbitrary: alphabet }, fc.constant('\r\n')), { maxLength: 400 }),
      fc.integer({ min: 1, max: 90 }),
      (chars, chunk) => {
        const text = chars.join('');
        const count = text.replaceAll('\r\n', '').length;
        const whole = text.replaceAll('\r\n', '').slice(0, count - (count % 4));
        return decode(text, chunk).hex === Buffer.from(whole, 'base64').toString('hex');
      },
    ),
    { numRuns: 300 },
  );
  t.pass('300 texts');
  t.end();
});

t.test('a line is decoded only if every one of its characters is base64, wherever it stands', (t) => {
  const isBase64 = (byte: number) => /[A-Za-z0-9+/]/.test(String.fromCharCode(byte));
  for (const length of [16, 20, 28, 60, 64, 76, 996]) {
    const clean = Buffer.from(lines(noise((length / 4) * 9), length), 'latin1');
    const stride = length + 2;
    const wrong: string[] = [];
    for (let at = stride; at < 2 * stride; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const text = Buffer.from(clean);
        text[at] = byte;
        text.copy(input);
        const isText = at - stride < length;
        const isClean = isText ? isBase64(byte) : byte === clean[at];
        const decoded = decodeLines(input.byteOffset, length, 3, armorScratch.byteOffset);
        const bytes = (decoded * length * 3) / 4;
        const isSame = armorScratch.subarray(0, bytes).equals(plainBase64(text).subarray(0, bytes));
        if (decoded !== (isClean ? 3 : 1) || !isSame) wrong.push(`${byte} at ${at}: ${decoded}`);
      }
    }
    t.same(wrong, [], `lines of ${length}`);
  }
  t.end();
});

/** What the runtime makes of it; to be looked at only up to the first character that is wrong. */
function plainBase64(text: Buffer): Buffer {
  return Buffer.from(text.toString('latin1'), 'base64');
}

t.test('text that lies in the decoder of an outer encoding', (t) => {
  const data = noise(20_000);
  const inner = Buffer.from(lines(data, 64), 'latin1');
  const outer = Buffer.from(lines(inner, 76), 'latin1');
  const out: Buffer[] = [];
  const innerDecoder = new Base64Decoder(armorScratch, (bytes) => {
    out.push(Buffer.from(bytes));
    return undefined;
  });
  const outerDecoder = new Base64Decoder(partScratch, (bytes) => {
    t.equal(innerDecoder.decode(bytes, 0), bytes.length);
    return undefined;
  });
  t.equal(outerDecoder.decode(outer, 0), outer.length);
  t.ok(outerDecoder.finish((3 - (inner.length % 3)) % 3));
  t.ok(innerDecoder.finish((3 - (data.length % 3)) % 3));
  t.ok(Buffer.concat(out).equals(data));
  t.end();
});

t.test('the CRC of any length and place is that of the definition', (t) => {
  const data = noise(65_536);
  const lengths = [0, 1, 15, 16, 17, 863, 864, 1727, 1728, 1729, 1743, 1744, 2591, 2592, 2593, 4096, 49_152, 65_531];
  data.copy(input);
  data.copy(armorScratch);
  for (const length of [...lengths, ...Array.from({ length: 60 }, (_, i) => 1700 + i * 7)]) {
    const start = length % 5;
    const expected = slowCrc24(data.subarray(start, start + length));
    for (const place of [data, input, armorScratch]) {
      if (start + length > place.length) continue;
      const value = updateCrc24(CRC24_START, place.subarray(start, start + length));
      if (crc24Value(value) !== expected) t.fail(`${length} bytes from ${start}`);
    }
  }
  const cut = updateCrc24(CRC24_START, data.subarray(0, 3000));
  t.equal(crc24Value(updateCrc24(cut, data.subarray(3000))), slowCrc24(data), 'in two pieces');
  t.end();
});

/** RFC 9580 §6.1.1, bit by bit. */
function slowCrc24(bytes: Uint8Array): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x800000 ? (crc << 1) ^ 0x1864cfb : crc << 1;
  }
  return crc;
}

t.test('CRC-24', (t) => {
  t.equal(crc24Value(updateCrc24(CRC24_START, Buffer.from('123456789'))), 0x21cf02, 'the published check value');
  t.equal(crc24Value(updateCrc24(CRC24_START, Buffer.alloc(0))), 0xb704ce, 'nothing');
  const bytes = noise(1003);
  const whole = updateCrc24(CRC24_START, bytes);
  for (const cut of [1, 7, 8, 9, 500, 1000]) {
    t.equal(updateCrc24(updateCrc24(CRC24_START, bytes.subarray(0, cut)), bytes.subarray(cut)), whole, `cut at ${cut}`);
  }
  t.end();
});
