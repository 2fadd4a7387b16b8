/** The dict server against the client in the real Dovecot 2.3: `doveadm dict`, and logins through passdb and userdb. */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  createDictServer,
  type DictHandler,
  type DictServerOptions,
  failed,
  found,
  foundMany,
  uncertain,
} from '#dovecot-dict';
import { MemoryDict } from '../../packages/dovecot-dict/test/memory-dict.ts';
import { dovecotVersion, LineClient, run, startDovecot, writeBareConfig } from './dict-dovecot.ts';

/** doveadm's exit code for "not found": EX_NOHOST. */
const EXIT_NOT_FOUND = 68;

const dir = await mkdtemp(join(tmpdir(), 'dict-'));
// Dovecot's processes, which are not root, connect to the sockets in it.
await chmod(dir, 0o755);
const bareConfig = await writeBareConfig(dir);
let sockets = 0;

async function serve(t: Pick<typeof import('tap').t, 'teardown'>, handler: DictHandler, options?: DictServerOptions) {
  const path = join(dir, `${++sockets}.sock`);
  const dict = createDictServer(handler, options);
  const umask = process.umask(0);
  dict.server.listen({ path, backlog: 1024 });
  process.umask(umask);
  t.teardown(() => dict.drain(1000));
  return path;
}

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `doveadm dict COMMAND [OPTION...] URI [OPERAND...]`. */
async function doveadm(path: string, words: readonly string[], operands: readonly string[]): Promise<Outcome> {
  const args = ['-f', 'tab', '-c', bareConfig, 'dict', ...words, `proxy:${path}:test`, ...operands];
  return run('doveadm', args).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Outcome) => ({ code, stdout, stderr }),
  );
}

t.teardown(() => rm(dir, { recursive: true }));

t.test('the Dovecot here speaks version 3', async (t) => {
  t.match(await dovecotVersion(), /^2\.3\./);
});

t.test('doveadm dict', async (t) => {
  const dict = new MemoryDict({ 'shared/a/1': 'one', 'shared/a/2': 'two', 'shared/a/b/3': '' });
  const path = await serve(t, dict);
  const user = ['-u', 'u@[127.0.0.1]'];
  const get = async (key: string) => (await doveadm(path, ['get', ...user], [key])).stdout.replace(/\n$/, '');

  t.match(await get('shared/a/1'), /one$/);
  t.equal((await doveadm(path, ['get'], ['shared/none'])).code, EXIT_NOT_FOUND);
  t.equal((await doveadm(path, ['set', ...user], ['priv/k', 'tab\t line\r\n \x01 \xff'])).code, 0);
  t.equal(dict.entries.get('u@[127.0.0.1]\0priv/k')?.toString(), 'tab\t line\r\n \x01 \xff', 'byte for byte');
  t.match(await get('priv/k'), /tab\t line\r\n \x01 \xff$/, 'and back');
  t.equal((await doveadm(path, ['unset', ...user], ['priv/k'])).code, 0);
  t.equal((await doveadm(path, ['get', ...user], ['priv/k'])).code, EXIT_NOT_FOUND);

  t.equal((await doveadm(path, ['inc'], ['shared/n', '1'])).code, EXIT_NOT_FOUND, 'nothing to add to');
  await doveadm(path, ['set'], ['shared/n', '40']);
  t.equal((await doveadm(path, ['inc'], ['shared/n', '2'])).code, 0);
  t.match(await get('shared/n'), /42$/);

  const keys = async (...words: string[]) => {
    const { code, stdout } = await doveadm(path, ['iter', ...words], [words[0] === '-1' ? 'shared/a/1' : 'shared/a/']);
    t.equal(code, 0);
    return stdout.match(/^shared\S*/gm) ?? [];
  };
  t.strictSame(await keys(), ['shared/a/1', 'shared/a/2'], 'one level');
  t.strictSame(await keys('-R'), ['shared/a/1', 'shared/a/2', 'shared/a/b/3'], 'recursive');
  t.strictSame(await keys('-R', '-V'), ['shared/a/1', 'shared/a/2', 'shared/a/b/3'], 'without values');
  t.strictSame(await keys('-1'), ['shared/a/1'], 'exactly this key');
});

t.test('values and lists of size', async (t) => {
  const rows = Array.from({ length: 20_000 }, (_, index) => ({ key: `shared/r/${index}`, value: 'v'.repeat(100) }));
  const path = await serve(t, { lookup: () => found('x'.repeat(300_000)), iterate: () => rows });
  const { stdout } = await run('doveadm', ['-c', bareConfig, 'dict', 'iter', `proxy:${path}:test`, 'shared/r/'], {
    maxBuffer: 16 * 1024 * 1024,
  });
  t.equal(stdout.match(/^shared\/r\/\d+/gm)?.length, rows.length);
  const value = await doveadm(path, ['get'], ['shared/k']);
  t.equal(value.stdout.match(/x+$/m)?.[0].length, 300_000);
});

t.test('every other reply of the table is understood', async (t) => {
  const path = await serve(t, {
    lookup: ({ key }) => (key.toString() === 'shared/many' ? foundMany(['first\t1', 'second']) : failed('no\nluck')),
    commit: ({ operations }) => (operations[0]!.type === 'set' ? uncertain('maybe') : failed('disk\tfull')),
    async *iterate({ path }) {
      yield { key: path.toString() === 'shared/bad/' ? 'elsewhere' : `${path}1`, value: '' };
      throw new Error('half way');
    },
  });
  t.match(await doveadm(path, ['get'], ['shared/many']), { code: 0, stdout: /first\t1/ });
  t.match(await doveadm(path, ['get'], ['shared/k']), { code: 75, stderr: /returned failure: no luck/ });
  t.match(await doveadm(path, ['set'], ['shared/k', 'v']), { code: 75, stderr: /maybe/ });
  t.match(await doveadm(path, ['unset'], ['shared/k']), { code: 75, stderr: /disk full/ });
  t.match(await doveadm(path, ['iter'], ['shared/half/']), {
    code: 75,
    stderr: /internal error/,
  });
  t.match(await doveadm(path, ['iter'], ['shared/bad/']), { code: 75, stderr: /internal error/ }, 'it did not abort');
});

t.test('a login while the passdb is in trouble', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'dict-'));
  t.teardown(() => rm(home, { recursive: true }));
  const trouble: DictHandler = {
    lookup({ key }) {
      if (key.includes('throws')) throw new Error('no store');
      if (key.includes('hangs')) return new Promise(() => {});
      return found(key.toString().startsWith('shared/passdb/') ? '{"nopassword":"Y"}' : '{"uid":"8","gid":"8"}');
    },
  };
  const auth = await serve(t, trouble, { onHandlerError: () => found(''), handlerTimeoutMs: 200 });
  const memory = await serve(t, new MemoryDict());
  const dovecot = await startDovecot(home, { auth, lastLogin: memory, metadata: memory });
  t.teardown(() => dovecot.stop());
  const rows: [string, RegExp, string][] = [
    ['good-secret', /OK/, 'a working store'],
    ['throws-secret', /NO \[UNAVAILABLE\]/, 'a handler that throws'],
    ['hangs-secret', /NO \[UNAVAILABLE\]/, 'a handler that hangs'],
  ];
  for (const [password, expected, why] of rows) {
    const imap = new LineClient({ port: dovecot.imapPort });
    await imap.say('', /^\* OK/);
    t.match(await imap.say(`1 LOGIN u@[127.0.0.1] ${password}`, /^1 /), expected, why);
    await imap.close();
  }
  const log = await readFile(join(home, 'dovecot.log'), 'utf8');
  t.match(log, /auth/, 'there is a log');
  t.notMatch(log, /secret/, 'and no password in it');
});
