import t from 'tap';
import { createLogger, type LogLevel } from '#core';

function collect(level?: LogLevel) {
  const lines: string[] = [];
  return { lines, log: createLogger(level, { write: (line: string) => void lines.push(line) }) };
}

t.test('a line is a priority and a JSON object', async (t) => {
  const { lines, log } = collect();
  log.info('message rejected', { queueId: '4F2C', reason: 'clear-text' });
  log.warn('w');
  log.error('e');
  log.debug('not at the default level');
  t.equal(lines.length, 3);
  t.match(lines, [/^<6>\{"level":30,.*\}\n$/, /^<4>/, /^<3>/]);
  t.match(JSON.parse(lines[0]!.slice(3)), { queueId: '4F2C', reason: 'clear-text', msg: 'message rejected' });
});

t.test('an error shows its class, code and place, never its message', async (t) => {
  const { lines, log } = collect();
  const error = Object.assign(
    new TypeError(
      "ENOENT: open '/mail/someone@example.org/password'\nsecond line someone@example.org\n    at someone@example.org",
    ),
    {
      code: 'ENOENT',
      syscall: 'open',
    },
  );
  log.error('store failed', { error });
  log.error('thrown text', { error: 'someone@example.org' });
  const text = lines.join('');
  t.notMatch(text, /someone/);
  t.match(JSON.parse(lines[0]!.slice(3)), {
    error: 'TypeError',
    code: 'ENOENT',
    syscall: 'open',
    at: [/log\.test\.ts/],
  });
});

t.test('an error that is odd breaks no log, and says nothing', async (t) => {
  const { lines, log } = collect();
  const odd = [
    Object.assign(new Error('x'), { message: 5, stack: { not: 'text' } }),
    Object.assign(new Error('x'), { code: 7n, syscall: 'read someone@example.org' }),
    Object.assign(new Error('x'), { name: 'mail of someone@example.org', code: 42 }),
  ];
  for (const error of odd) log.error('failed', { error });
  t.equal(lines.length, 3);
  t.notMatch(lines.join(''), /someone/);
  t.equal(JSON.parse(lines[2]!.slice(3)).code, 42);
});
