/**
 * Differences of two texts as `diff -u` writes them, for people to read before they agree.
 */

/** Lines of the same text around a difference. */
const CONTEXT = 3;

type Line = { readonly sign: ' ' | '-' | '+'; readonly text: string };

/** The unified difference of two texts, without a final newline; empty when they are the same. */
export function unifiedDiff(path: string, before: string | undefined, after: string | undefined): string {
  const lines = compare(linesOf(before), linesOf(after));
  if (lines.every(({ sign }) => sign === ' ') && (before === undefined) === (after === undefined)) return '';
  const head = [`--- ${before === undefined ? '/dev/null' : path}`, `+++ ${after === undefined ? '/dev/null' : path}`];
  return [...head, ...hunks(lines)].join('\n');
}

function linesOf(text: string | undefined): string[] {
  if (text === undefined || text === '') return [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  else lines.push(`${lines.pop()}\n\\ No newline at end of file`);
  return lines;
}

/** The longest common subsequence, by its table: configuration files are short. */
function compare(a: readonly string[], b: readonly string[]): Line[] {
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] =
        a[i] === b[j]
          ? longest[(i + 1) * width + j + 1]! + 1
          : Math.max(longest[(i + 1) * width + j]!, longest[i * width + j + 1]!);
    }
  }
  const lines: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ sign: ' ', text: a[i++]! });
      j++;
    } else if (j === b.length || (i < a.length && longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!)) {
      lines.push({ sign: '-', text: a[i++]! });
    } else {
      lines.push({ sign: '+', text: b[j++]! });
    }
  }
  return lines;
}

function hunks(lines: readonly Line[]): string[] {
  const out: string[] = [];
  let [oldLine, newLine] = [1, 1];
  let index = 0;
  while (index < lines.length) {
    const start = lines.findIndex(({ sign }, at) => at >= index && sign !== ' ');
    if (start === -1) break;
    let end = start;
    for (let at = start; at < lines.length && at <= end + 2 * CONTEXT; at++) if (lines[at]!.sign !== ' ') end = at;
    const from = Math.max(index, start - CONTEXT);
    const to = Math.min(lines.length, end + 1 + CONTEXT);
    oldLine += from - index;
    newLine += from - index;
    const hunk = lines.slice(from, to);
    const olds = hunk.filter(({ sign }) => sign !== '+').length;
    const news = hunk.filter(({ sign }) => sign !== '-').length;
    out.push(`@@ -${range(oldLine, olds)} +${range(newLine, news)} @@`);
    out.push(...hunk.map(({ sign, text }) => sign + text));
    oldLine += olds;
    newLine += news;
    index = to;
  }
  return out;
}

/** An empty side is named by the line before it. */
function range(line: number, count: number): string {
  return `${count === 0 ? line - 1 : line}${count === 1 ? '' : `,${count}`}`;
}
