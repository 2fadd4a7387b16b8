import t from 'tap';
import { Hasher } from '../src/hasher.ts';
import { verifyPassword } from '../src/sha512-crypt.ts';

const password = Buffer.from('correct horse');
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'resolved',
    (error) => error.code,
  );

t.test('hashes and verifies', async (t) => {
  const hasher = new Hasher();
  t.teardown(() => hasher.close());
  const [one, two] = await Promise.all([hasher.hash(password), hasher.hash(password)]);
  t.not(one, two, 'every salt is another');
  t.ok(verifyPassword(password, one));
  t.equal(await hasher.verify(password, one), true);
  t.equal(await hasher.verify(Buffer.from('wrong'), one), false);
  const answers = await Promise.all([code(hasher.verify(password, '{PLAIN}x')), hasher.verify(password, one)]);
  t.same(answers, ['unknown-hash', true], 'one that cannot be judged is neither, and no trouble for the next');
  t.equal(password.toString(), 'correct horse', "the caller's bytes are left alone");
});

t.test('the thread comes on demand and goes after idling', async (t) => {
  const hasher = new Hasher({ idleMs: 5 });
  t.equal(hasher.isRunning, false, 'none before the first task');
  await hasher.hash(password);
  t.equal(hasher.isRunning, true);
  while (hasher.isRunning) await new Promise((resolve) => setTimeout(resolve, 5));
  t.ok(verifyPassword(password, await hasher.hash(password)), 'and comes back');
  await hasher.close();
});

t.test('the queue is bounded', async (t) => {
  const hasher = new Hasher({ maxTasks: 3 });
  t.teardown(() => hasher.close());
  const results = Array.from({ length: 5 }, () => code(hasher.hash(password)));
  t.equal(hasher.length, 3);
  t.same(await Promise.all(results), ['resolved', 'resolved', 'resolved', 'queue-full', 'queue-full']);
  t.equal(hasher.length, 0);
});

t.test('who has waited too long is not hashed any more', async (t) => {
  const hasher = new Hasher({ maxWaitMs: 0 });
  t.teardown(() => hasher.close());
  const codes = await Promise.all(Array.from({ length: 4 }, () => code(hasher.hash(password))));
  t.same(codes.slice(-2), ['queue-slow', 'queue-slow']);
});

t.test('closing fails what is left, and a later task starts anew', async (t) => {
  const hasher = new Hasher();
  const results = Array.from({ length: 4 }, () => code(hasher.hash(password)));
  await hasher.close();
  t.same(await Promise.all(results), ['stopped', 'stopped', 'stopped', 'stopped']);
  t.equal(hasher.isRunning, false);
  t.equal(await code(hasher.hash(password)), 'resolved');
  await hasher.close();
});

t.test('an answer of a thread that was given up is not taken for that of the next', async (t) => {
  const hasher = new Hasher();
  await hasher.hash(password);
  const lost = code(hasher.hash(password));
  // While we look away the thread computes, and its answer waits for us.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  const closing = hasher.close();
  const other = Buffer.from('another password');
  t.ok(verifyPassword(other, await hasher.hash(other)));
  t.equal(await lost, 'stopped');
  await closing;
  await hasher.close();
});
