import fc from 'fast-check';
import t from 'tap';
import {
  BodyCanonicalizer,
  BodyHash,
  type Canonicalization,
  canonicalHeader,
  signedHeader,
} from '../../src/dkim/canonical.ts';

/** RFC 6376 §3.4 word for word, on a whole body. */
function reference(form: Canonicalization, body: string): string {
  const lines = form === 'simple' ? body : body.replace(/[ \t]+/g, ' ').replace(/ (?=\r\n|$)/g, '');
  let end = lines.length;
  while (lines.endsWith('\r\n', end)) end -= 2;
  return end === 0 && form === 'relaxed' ? '' : `${lines.slice(0, end)}\r\n`;
}

function canonicalBody(form: Canonicalization, body: string, cuts: readonly number[] = []): string {
  let text = '';
  const canonicalizer = new BodyCanonicalizer(form, (bytes) => {
    text += bytes.toString('latin1');
  });
  const bytes = Buffer.from(body, 'latin1');
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    const piece = Buffer.from(bytes.subarray(from, to));
    canonicalizer.push(piece);
    piece.fill(0);
    from = to;
  }
  canonicalizer.finish();
  return text;
}

t.test('bodies', async (t) => {
  const rows: readonly [form: Canonicalization, body: string, canonical: string, why: string][] = [
    ['relaxed', ' C \r\nD \t E\r\n\r\n\r\n', ' C\r\nD E\r\n', 'RFC 6376 §3.4.5, example 1'],
    ['simple', ' C \r\nD \t E\r\n\r\n\r\n', ' C \r\nD \t E\r\n', 'RFC 6376 §3.4.5, example 2'],
    ['simple', '', '\r\n', 'empty, §3.4.3'],
    ['relaxed', '', '', 'empty, §3.4.4'],
    ['simple', '\r\n\r\n', '\r\n', 'only empty lines'],
    ['relaxed', '\r\n \t\r\n', '', 'only empty and blank lines'],
    ['relaxed', ' ', '', 'a blank and no line end'],
    ['simple', ' ', ' \r\n', 'a blank, as it is'],
    ['simple', 'a', 'a\r\n', 'no line end'],
    ['relaxed', 'a \t', 'a\r\n', 'blanks and no line end'],
    ['relaxed', 'a\r\n \r\nb', 'a\r\n\r\nb\r\n', 'a blank line inside'],
    ['simple', 'a\r', 'a\r\r\n', 'a lone CR at the end'],
    ['simple', 'a\r\n\r', 'a\r\n\r\r\n', 'a lone CR after a line end'],
    ['relaxed', 'a \rb\nc', 'a \rb\nc\r\n', 'lone CR and LF are content'],
    ['relaxed', 'a \r\r\n', 'a \r\r\n', 'a CR before a line end'],
    ['relaxed', 'a\xa0\r\n', 'a\xa0\r\n', '0xA0 is no blank'],
  ];
  for (const [form, body, canonical, why] of rows) {
    t.equal(canonicalBody(form, body), canonical, `${form}: ${why}`);
    t.equal(reference(form, body), canonical, `${form}: ${why}, the reference`);
    const cuts = Array.from({ length: body.length }, (_, i) => i);
    t.equal(canonicalBody(form, body, cuts), canonical, `${form}: ${why}, byte by byte`);
  }
});

t.test('any body in any chunking is what the RFC says', async (t) => {
  const words = fc.constantFrom('a', 'bc', ' ', '\t', '\r\n', '\r', '\n', '\r\n\r\n', 'x'.repeat(70));
  const body = fc.array(words, { maxLength: 60 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(
      body,
      fc.array(fc.nat(200), { maxLength: 8 }),
      fc.constantFrom('simple', 'relaxed'),
      (text, at, form) => {
        const cuts = at.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b);
        return canonicalBody(form as Canonicalization, text, cuts) === reference(form as Canonicalization, text);
      },
    ),
    { numRuns: 3000 },
  );
  t.pass('3000 bodies');
});

t.test('long runs', async (t) => {
  for (const filler of ['\r\n', ' ', '\t\r\n', 'a ', '\r', 'line\r\n']) {
    for (const tail of ['', 'x', ' x\r\n']) {
      const body = filler.repeat(50_000) + tail;
      const cuts = [1, 30_000, 32_768, 65_537].filter((cut) => cut < body.length);
      for (const form of ['simple', 'relaxed'] as const) {
        t.ok(canonicalBody(form, body, cuts) === reference(form, body), `${form}, ${JSON.stringify(filler + tail)}`);
      }
    }
  }
});

t.test('header fields', async (t) => {
  const rows: readonly [form: Canonicalization, name: string, value: string, canonical: string, why: string][] = [
    ['relaxed', 'A', ' X', 'a:X', 'RFC 6376 §3.4.5, example 1'],
    ['relaxed', 'B ', ' Y\t\n\tZ  ', 'b:Y Z', 'RFC 6376 §3.4.5, example 1, folded'],
    ['simple', 'A', ' X', 'A: X', 'RFC 6376 §3.4.5, example 2'],
    ['simple', 'B ', ' Y\t\n\tZ  ', 'B : Y\t\r\n\tZ  ', 'RFC 6376 §3.4.5, example 2, folded'],
    ['simple', 'B', ' Y\r\n Z', 'B: Y\r\n Z', 'folded with CRLF'],
    ['relaxed', 'B', ' Y\r\n Z', 'b:Y Z', 'folded with CRLF'],
    ['relaxed', 'C', '', 'c:', 'empty'],
    ['relaxed', 'C', ' \t', 'c:', 'blank'],
    ['relaxed', 'Subject', ' \xc3\xa0', 'subject:\xc3\xa0', 'UTF-8 that ends like a no-break space'],
  ];
  for (const [form, name, value, canonical, why] of rows) {
    t.equal(canonicalHeader(form, name, value), canonical, `${form}: ${why}`);
  }
});

t.test('which fields a signature covers', async (t) => {
  const field = (rawName: string, rawValue: string) => ({ name: rawName.toLowerCase(), rawName, rawValue });
  const fields = [field('To', ' 1'), field('From', ' a'), field('To', ' 2'), field('X', ' x')];
  const cover = (names: string[]) =>
    signedHeader('relaxed', names, fields, { rawName: 'S', rawValue: ' b=' }).toString();
  t.equal(cover(['from', 'to']), 'from:a\r\nto:2\r\ns:b=', 'the last field of a name first, §5.4.2');
  t.equal(cover(['to', 'to', 'to', 'cc']), 'to:2\r\nto:1\r\ns:b=', 'nothing for fields that are not there');
});

t.test('bodies are hashed fast', async (t) => {
  // Of processor time, whoever else is busy. Half of that here and less for text with blanks, on whatever machine, and the best of three: what is caught is a loop gone wrong.
  const armored = Buffer.from(`${'A'.repeat(64)}\r\n`.repeat(970));
  const prose = Buffer.from('Some words, and more words  on a line.\r\n'.repeat(1600));
  for (const [name, piece, least] of [
    ['armor', armored, 200],
    ['prose', prose, 30],
  ] as const) {
    const rates = [1, 2, 3].map(() => {
      const hash = new BodyHash('relaxed');
      const began = process.threadCpuUsage();
      for (let i = 0; i < 320; i++) hash.push(piece);
      hash.digest();
      const { user, system } = process.threadCpuUsage(began);
      return (320 * piece.length) / (user + system);
    });
    t.comment(`${name}: ${Math.max(...rates).toFixed(0)} MB/s`);
    t.ok(Math.max(...rates) > least, name);
  }
});
