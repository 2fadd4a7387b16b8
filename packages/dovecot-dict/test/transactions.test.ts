/** Transactions through a session: atomic at commit, dropped otherwise, bounded always. */
import t from 'tap';
import {
  committed,
  type DictHandler,
  DictHandlerError,
  type DictTransaction,
  notFound,
  uncertain,
} from '#dovecot-dict';
import { startSession } from './harness.ts';

const HELLO = 'H4\t0\t0\t\tname\n';

/** What the handler was given, in readable form. */
function recorder() {
  const seen: string[] = [];
  const commit: DictHandler['commit'] = (transaction: DictTransaction) => {
    const operations = transaction.operations.map((operation) => {
      const key = operation.key.toString('latin1');
      if (operation.type === 'set') return `${key}=${operation.value.toString('latin1')}`;
      return operation.type === 'unset' ? `-${key}` : `${key}+${operation.diff}`;
    });
    seen.push(`${transaction.user.toString('latin1')}: ${operations.join(' ')}`);
    return committed;
  };
  return { seen, handler: { commit } };
}

t.test('a transaction reaches the handler whole, in order, at commit', async (t) => {
  const { seen, handler } = recorder();
  const { send, sent } = startSession(handler);
  await send(`${HELLO}B1\tu@x\nS1\tk\tv\nU1\tk\nA1\tn\t-5\nS1\tk\t\xff\x01t\n`);
  t.strictSame(seen, [], 'nothing before');
  t.equal(sent(), '', 'and no reply');
  await send('C1\n');
  t.strictSame(seen, ['u@x: k=v -k n+-5 k=\xff\t']);
  t.equal(sent(), 'O\n');
});

t.test("transactions interleave, and their ids are the connection's", async (t) => {
  const { seen, handler } = recorder();
  const [one, two] = [startSession(handler), startSession(handler)];
  await one.send(`${HELLO}B1\ta\nS1\tk\t1\nB2\tb\nS2\tk\t2\nS1\tk\t3\n`);
  await two.send(`${HELLO}B1\tc\nS1\tk\t4\nC1\n`);
  await one.send('C2\nC1\nB1\ta\nS1\tk\t5\nC1\n');
  t.strictSame(seen, ['c: k=4', 'b: k=2', 'a: k=1 k=3', 'a: k=5'], 'an id can be used again');
});

t.test('rollback and disconnect drop everything', async (t) => {
  const { seen, handler } = recorder();
  const { session, send, sent } = startSession(handler);
  await send(`${HELLO}B1\tu\nS1\tk\tv\nR1\nB2\tu\nS2\tk\tv\n`);
  t.notOk(session.idle);
  session.end();
  t.ok(session.idle, 'nothing is kept');
  await send('C2\n');
  t.strictSame(seen, []);
  t.equal(sent(), '');
});

t.test('expiry, time and log wish', async (t) => {
  const seen: DictTransaction[] = [];
  const handler: DictHandler = {
    commit(transaction) {
      seen.push(transaction);
      return committed;
    },
  };
  const { send } = startSession(handler);
  await send(`${HELLO}B1\tu\t60\nT1\t1795321111\t7\nV1\tyes\nC1\nB2\tu\t0\nV2\tyes\nV2\tno\nC2\n`);
  t.match(seen[0], { expireSecs: 60, timestamp: { secs: 1795321111, nanos: 7 }, hideLogValues: true });
  t.match(seen[1], { expireSecs: 0, timestamp: undefined, hideLogValues: false });
  const old = startSession(handler);
  await old.send('H3\t2\t0\t\tname\nB1\tu\t60\nC1\n');
  t.equal(seen[2]?.expireSecs, 0, 'version 3 has no expiry');
});

t.test('ids that are not what they should be', async (t) => {
  const rows: [string, string, string][] = [
    ['C1\n', 'unknown-transaction', 'commit'],
    ['R1\n', 'unknown-transaction', 'rollback'],
    ['S1\tk\tv\n', 'unknown-transaction', 'set'],
    ['U1\tk\n', 'unknown-transaction', 'unset'],
    ['A1\tk\t1\n', 'unknown-transaction', 'increment'],
    ['T1\t1\t1\n', 'unknown-transaction', 'timestamp'],
    ['V1\tyes\n', 'unknown-transaction', 'hide values'],
    ['B1\tu\nC1\nC1\n', 'unknown-transaction', 'committed already'],
    ['B1\tu\nB1\tu\n', 'duplicate-transaction', 'open already'],
    ['B1\tu\nB2\tu\nB3\tu\nB4\tu\n', 'too-many-transactions', 'one more than may be open'],
  ];
  for (const [text, code, why] of rows) {
    const { send } = startSession(recorder().handler, { limits: { maxTransactions: 3 } });
    await t.rejects(send(HELLO + text), { name: 'DictProtocolError', code }, why);
  }
});

t.test('a transaction over a limit fails at commit, and others do not', async (t) => {
  const set = (bytes: number) => `S1\tk\t${'v'.repeat(bytes)}\n`;
  const rows: [string, string, string][] = [
    [set(10), 'O\n', 'a value at the limit'],
    [set(11), 'F1\tvalue too large\n', 'a value over it'],
    [set(1) + set(11) + set(1), 'F1\tvalue too large\n', 'nothing of it happens, also not what fitted'],
    [set(1).repeat(4), 'O\n', 'operations at the limit'],
    [set(1).repeat(5), 'F1\ttoo many operations\n', 'one over it'],
    [`U1\t${'k'.repeat(800)}\n`, 'F1\ttransaction too large\n', 'keys count as well'],
    [
      `${set(11)}${set(1).repeat(3)}B9\tu\n${'U9\tk\n'.repeat(4)}C9\n`,
      'O\nF1\tvalue too large\n',
      'a broken one takes no room',
    ],
    [`B9\t${'u'.repeat(900)}\nR9\nU1\t${'k'.repeat(500)}\n`, 'O\n', 'what is dropped counts no more'],
    [`B9\t${'u'.repeat(900)}\nU1\tk\nR9\n`, 'F1\ttransaction too large\n', 'all open ones count together'],
  ];
  const limits = { maxValueBytes: 10, maxOperations: 4, maxTransactionBytes: 4 * 256 + 30 };
  for (const [text, expected, why] of rows) {
    const { seen, handler } = recorder();
    const { send, sent } = startSession(handler, { limits });
    await send(`${HELLO}B1\tu\n${text}C1\nB1\tu\n${set(3)}C1\n`);
    t.equal(sent(), `${expected}O\n`, why);
    t.equal(seen.length, `${expected}O\n`.split('O\n').length - 1, why);
  }
});

t.test('kept fields do not keep the chunk they came in', async (t) => {
  const seen: DictTransaction[] = [];
  const { send } = startSession({
    commit(transaction) {
      seen.push(transaction);
      return committed;
    },
  });
  await send(`${HELLO}B1\tuser\nS1\tkey\tvalue\nC1\n${'Lx\n'.repeat(1000)}`);
  const [operation] = seen[0]!.operations;
  for (const bytes of [seen[0]!.user, operation!.key]) t.equal(bytes.buffer.byteLength, bytes.length);
});

t.test('commit replies', async (t) => {
  const rows: [DictHandler['commit'], string, string][] = [
    [() => committed, 'O\n', 'done'],
    [async () => committed, 'O\n', 'done, later'],
    [() => notFound, 'N\n', 'an increment without a value to add to'],
    [() => uncertain('lost'), 'W1\tlost\n', 'nobody knows'],
    [() => Promise.reject(new DictHandlerError('timeout', 'late')), 'W1\tno answer in time\n', 'too late to know'],
    [() => Promise.reject(new Error('disk')), 'F1\tinternal error\n', 'an error of ours'],
    [() => ({ kind: 'found', value: 'x' }) as never, 'F1\tinternal error\n', 'a reply of another command'],
  ];
  for (const [commit, expected, why] of rows) {
    const { send, sent } = startSession(commit === undefined ? {} : { commit });
    await send(`${HELLO}B1\tu\nC1\n`);
    t.equal(sent(), expected, why);
  }
});
