import t from 'tap';
import { MultipartReader, type MultipartVisitor, type PartField } from '../src/mime.ts';
import { chunksOf, run } from './support/judge.ts';

/** Writes down what it visits; `|` joins bytes of one kind. */
class Diary implements MultipartVisitor {
  readonly #entries: [kind: string, text: string][] = [];

  get text(): string {
    return this.#entries.map(([kind, text]) => `${kind}(${text})`).join(' ');
  }

  preamble(bytes: Buffer): undefined {
    this.#add('pre', bytes.toString('latin1'));
  }

  partBegin(fields: readonly PartField[]): undefined {
    this.#entries.push(['begin', fields.map(({ name, value }) => `${name}=${value}`).join(',')]);
  }

  partData(bytes: Buffer): undefined {
    this.#add('data', bytes.toString('latin1'));
  }

  partEnd(): undefined {
    this.#entries.push(['end', '']);
  }

  epilogue(bytes: Buffer): undefined {
    this.#add('post', bytes.toString('latin1'));
  }

  #add(kind: string, text: string): void {
    const last = this.#entries.at(-1);
    if (last?.[0] === kind) last[1] += text;
    else this.#entries.push([kind, text]);
  }
}

function read(body: string, cuts: readonly number[] = []): { code: string; diary: string } {
  const diary = new Diary();
  const code = run(new MultipartReader('b', diary), Buffer.from(body, 'latin1'), cuts);
  return { code, diary: diary.text };
}

t.test('multiparts', (t) => {
  const rows: readonly [body: string, diary: string, why: string][] = [
    ['--b\r\n\r\nx\r\n--b--\r\n', 'begin() data(x) end()', 'one part'],
    ['--b\r\n\r\nx\r\n--b--', 'begin() data(x) end()', 'the last line need not end'],
    ['\r\n--b\r\n\r\nx\r\n--b--', 'begin() data(x) end()', 'an empty line before'],
    ['hi\r\n--b\r\n\r\nx\r\n--b--\r\nbye', 'pre(hi) begin() data(x) end() post(bye)', 'preamble and epilogue'],
    ['--b\r\n\r\n\r\n--b--', 'begin() end()', 'an empty body'],
    ['--b\r\n\r\n--b--', 'begin() end()', 'the empty line ends the header and begins the boundary'],
    ['--b \t\r\n\r\nx\r\n--b-- \r\n', 'begin() data(x) end()', 'blanks after the boundary'],
    ['--b\r\nA: 1\r\n\tfolded\r\nB:2 \r\n\r\nx\r\n--b--', 'begin(a=1\tfolded,b=2) data(x) end()', 'a header'],
    ['--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--', 'begin() data(x) end() begin() data(y) end()', 'two parts'],
    [
      '--b\r\n\r\n\r\n--\r\r\n-b\n--b\r\n--b--',
      'begin() data(\r\n--\r\r\n-b\n--b) end()',
      'what only looks like a boundary',
    ],
    ['--b\r\n\r\nx--b\r\n--b--', 'begin() data(x--b) end()', 'a boundary inside a line is none'],
  ];
  for (const [body, diary, why] of rows) {
    t.same(read(body), { code: 'ok', diary }, why);
    const different = chunksOf(body.length, 1).filter((cut) => read(body, [cut]).diary !== diary);
    t.same(different, [], `${why}, cut anywhere`);
    t.equal(read(body, chunksOf(body.length, 1)).diary, diary, `${why}, byte by byte`);
  }
  t.end();
});

t.test('what readers could disagree on', (t) => {
  const rows: readonly [body: string, code: string, why: string][] = [
    ['', 'final_boundary_missing', 'nothing'],
    ['hello', 'final_boundary_missing', 'no boundary'],
    ['--b\r\n\r\nx\r\n', 'final_boundary_missing', 'no final boundary'],
    ['--b\r\n\r\nx\r\n--b-', 'final_boundary_missing', 'half a final boundary'],
    ['--b\r\nA: 1\r\n', 'final_boundary_missing', 'ends in a header'],
    ['--bb\r\n\r\nx\r\n--b--', 'boundary_ambiguous', 'a longer boundary'],
    ['--b-\r\n\r\nx\r\n--b--', 'boundary_ambiguous', 'one dash after it'],
    ['--b---\r\n', 'boundary_ambiguous', 'three dashes after it'],
    ['--b x\r\n\r\n--b--', 'boundary_ambiguous', 'text after it'],
    ['--b\n\nx\n--b--', 'boundary_ambiguous', 'LF after it'],
    ['--b\rx', 'boundary_ambiguous', 'CR after it'],
    [`--b${' '.repeat(100)}\r\n\r\n--b--`, 'boundary_ambiguous', 'many blanks after it'],
    ['--b\r\nA: 1\n\r\nx\r\n--b--', 'line_end_bare', 'LF in a header'],
    ['--b\r\nA: 1\rB: 2\r\n\r\nx\r\n--b--', 'line_end_bare', 'CR in a header'],
    ['--b\r\nA: \0\r\n\r\nx\r\n--b--', 'line_end_bare', 'NUL in a header'],
    ['--b\r\nA : 1\r\n\r\nx\r\n--b--', 'part_header_malformed', 'a blank before the colon'],
    ['--b\r\nhello\r\n\r\nx\r\n--b--', 'part_header_malformed', 'no colon'],
    ['--b\r\n A: 1\r\n\r\nx\r\n--b--', 'part_header_malformed', 'begins folded'],
    ['--b\r\nA: 1\r\n--b\r\n\r\nx\r\n--b--', 'part_header_malformed', 'a boundary in a header'],
    [`--b\r\nA: ${'x'.repeat(5000)}\r\n\r\nx\r\n--b--`, 'part_header_too_long', 'a long line'],
    [`--b\r\n${'A: 1\r\n'.repeat(1000)}\r\nx\r\n--b--`, 'part_header_too_long', 'many lines'],
  ];
  for (const [body, code, why] of rows) {
    t.equal(read(body).code, code, why);
    t.equal(read(body, chunksOf(body.length, 1)).code, code, `${why}, byte by byte`);
  }
  t.end();
});
