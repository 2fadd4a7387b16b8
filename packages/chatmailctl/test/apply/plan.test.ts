import t from 'tap';
import { foreignFiles, isOurs, planChanges, recordOf } from '../../src/apply/plan.ts';
import { HEADER, type RenderedFile } from '../../src/layout.ts';

const file = (path: string, body = 'x = 1', mode = 0o644): RenderedFile => ({
  path,
  text: `# ${HEADER}\n${body}\n`,
  mode,
  service: 'postfix',
});
const now = (text: string, mode = 0o644) => ({ text, mode });

t.test('what differs is written, what is the same is not', async (t) => {
  const [a, b, c] = [file('/a'), file('/b'), file('/c')];
  const rows: [Parameters<typeof now> | undefined, string[], string][] = [
    [undefined, ['/a'], 'missing'],
    [[a.text], [], 'the same'],
    [[`${a.text}more\n`], ['/a'], 'another text'],
    [[a.text, 0o600], ['/a'], 'another mode'],
  ];
  for (const [current, paths, why] of rows) {
    const map = new Map([b, c].map(({ path, text }) => [path, now(text)]));
    if (current) map.set('/a', now(...current));
    t.same(
      planChanges([c, a, b], map, undefined).map(({ path }) => path),
      paths,
      why,
    );
  }
  const link = new Map([['/a', { ...now(a.text), isLink: true }]]);
  t.equal(planChanges([a], link, undefined).length, 1, 'a link to the same text is still somebody else’s file');
});

t.test('applying a plan leaves nothing to plan', async (t) => {
  const rendered = [file('/a'), file('/b')];
  const changes = planChanges(rendered, new Map([['/b', now('old')]]), undefined);
  const after = new Map(changes.map(({ path, after }) => [path, after!]));
  t.same(planChanges(rendered, after, recordOf(rendered, 'h')), []);
});

t.test('what is no longer rendered is removed, when it is still ours', async (t) => {
  const gone = file('/gone');
  const record = recordOf([gone, file('/kept'), file('/lost')], 'h');
  const current = new Map([
    ['/gone', now(gone.text)],
    ['/kept', now('made my own\n')],
  ]);
  const changes = planChanges([], current, record);
  t.same(
    changes.map(({ path, after }) => [path, after]),
    [['/gone', undefined]],
  );
});

t.test('files that neither we nor a package wrote', async (t) => {
  const changes = planChanges(
    [file('/new'), file('/ours', 'y = 2'), file('/stock'), file('/foreign')],
    new Map([
      ['/ours', now(file('/ours').text)],
      ['/stock', now('shipped')],
      ['/foreign', now('typed in')],
    ]),
    undefined,
  );
  t.same(
    foreignFiles(changes, (_path, text) => text === 'shipped'),
    ['/foreign'],
  );
});

t.test('the header may stand on the second line, behind a document type', async (t) => {
  t.equal(isOurs(`<!DOCTYPE html>\n<!-- ${HEADER} -->\n`), true);
  t.equal(isOurs(`a\nb\nc\nd\n# copied from a file that was ${HEADER}\n`), false);
});
