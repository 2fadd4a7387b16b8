/** The server on real sockets, through the shared read buffer and the plain way alike. */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type EndOfMessageAnswer, type ErrorContext, type MilterHandler, MilterServer, SMFIF_CHGHDRS } from '#milter';
import { TestMta } from '#milter/testing';
import type { MilterServerOptions } from '../src/options.ts';
import * as P from '../src/protocol.ts';

const directory = mkdtempSync(join(tmpdir(), 'milter-server-'));
t.teardown(() => rmSync(directory, { recursive: true }));

interface Running {
  readonly milter: MilterServer;
  readonly path: string;
  readonly errors: { code: string; context: ErrorContext }[];
  /** Lengths of all bodies that came to their end, and how many handlers were closed. */
  readonly bodies: number[];
  closed: number;
  mta(): Promise<TestMta>;
}

let count = 0;

async function start(
  test: { teardown(done: () => Promise<void>): void },
  options: Partial<MilterServerOptions>,
  answer: () => EndOfMessageAnswer | Promise<EndOfMessageAnswer> = () => ({ verdict: 'accept' }),
): Promise<Running> {
  const errors: Running['errors'] = [];
  const bodies: number[] = [];
  const path = join(directory, `${++count}.sock`);
  const milter = new MilterServer({
    events: { mail: 'answer', header: 'notify', body: 'notify' },
    actions: SMFIF_CHGHDRS,
    onError: (error, context) => errors.push({ code: (error as { code?: string }).code ?? error.message, context }),
    handler: (): MilterHandler => {
      let length = 0;
      return {
        mail: () => {
          length = 0;
        },
        body: (piece) => {
          length += piece.length;
        },
        endOfMessage: () => {
          bodies.push(length);
          return answer();
        },
        close: () => {
          running.closed++;
        },
      };
    },
    ...options,
  });
  const running: Running = {
    milter,
    path,
    errors,
    bodies,
    closed: 0,
    async mta() {
      const mta = await TestMta.connect({ path });
      await mta.negotiate();
      await mta.client();
      return mta;
    },
  };
  milter.server.listen(path);
  await once(milter.server, 'listening');
  test.teardown(() => milter.drain(0));
  return running;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

for (const reading of ['shared', 'plain'] as const) {
  t.test(`reading: ${reading}`, async (t) => {
    t.test('messages of many sizes, interleaved on several connections', async (t) => {
      const edit = { edit: 'changeHeader', name: 'Subject', index: 1, value: '[...]' } as const;
      const running = await start(t, { reading }, () => ({ verdict: 'accept', edits: [edit] }));
      const sizes = [0, 1, 2000, 65_535, 65_536, 300_000];
      await Promise.all(
        sizes.map(async () => {
          const mta = await running.mta();
          for (const size of sizes) {
            const result = await mta.message({ body: Buffer.alloc(size, 'x') });
            t.equal(result.reply.type, 'accept');
            t.match(result.edits, [{ type: 'changeHeader', name: 'Subject', value: '[...]' }]);
            mta.abort();
          }
          await mta.quit();
        }),
      );
      t.equal(
        running.bodies.reduce((sum, n) => sum + n),
        sizes.length * sizes.reduce((sum, n) => sum + n),
      );
      await until(() => running.milter.connections() === 0);
      t.equal(running.closed, sizes.length);
      t.strictSame(running.errors, []);
    });

    t.test('while an answer is pending nothing is read, and nothing is lost', async (t) => {
      let release = (): void => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      const running = await start(t, { reading }, async () => {
        await released;
        return { verdict: 'accept' };
      });
      const mta = await running.mta();
      const first = mta.message();
      await until(() => running.bodies.length === 1);
      // An MTA would not, but may: the next message before the answer, more of it than any socket buffer holds.
      mta.abort();
      mta.send(P.SMFIC_MAIL, '<a@x>\0');
      for (let i = 0; i < 100; i++) mta.send(P.SMFIC_BODY, Buffer.alloc(60_000));
      mta.send(P.SMFIC_BODYEOB);
      await sleep(30);
      t.ok(mta.socket.writableLength > 1_000_000, 'the MTA is held back');
      release();
      t.equal((await first).reply.type, 'accept');
      t.equal((await mta.read()).type, 'continue');
      t.equal((await mta.read()).type, 'accept');
      t.strictSame(running.bodies, [7, 6_000_000]);
      await mta.quit();
    });

    t.test('an MTA that does not read its replies is not read from either', async (t) => {
      const running = await start(t, { reading });
      const mta = await running.mta();
      mta.socket.pause();
      const many = Buffer.concat(new Array(20_000).fill(Buffer.from('\0\0\0\x07M<a@x>\0\0\0\0\x01A', 'latin1')));
      for (let i = 0; i < 5; i++) mta.raw(many);
      await sleep(50);
      t.ok(mta.socket.writableLength > 0, 'the MTA is held back');
      mta.socket.resume();
      await until(() => mta.unread === 100_000);
      await mta.quit();
    });

    t.test('a client that breaks the protocol is dropped, others are not', async (t) => {
      const running = await start(t, { reading });
      const good = await running.mta();
      const bad = await TestMta.connect({ path: running.path });
      bad.raw(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
      await bad.closed();
      t.match(running.errors, [{ code: 'frame_too_large', context: { kind: 'protocol' } }]);
      t.equal((await good.message()).reply.type, 'accept');
      await good.quit();
    });

    t.test('a client that goes in mid-message', async (t) => {
      const running = await start(t, { reading });
      const mta = await running.mta();
      mta.send(P.SMFIC_MAIL, '<a@x>\0');
      mta.raw(Buffer.from('\0\0\xff\xffBhalf', 'latin1'));
      mta.socket.end();
      await mta.closed();
      await until(() => running.closed === 1);
      t.strictSame(running.bodies, []);
      t.strictSame(running.errors, []);
    });

    t.test('a server of the caller, already listening, on TCP', async (t) => {
      const server = createServer();
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const milter = new MilterServer(
        { reading, events: {}, onError: t.error, handler: () => ({ endOfMessage: () => ({ verdict: 'reject' }) }) },
        server,
      );
      const mta = await TestMta.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
      await mta.negotiate();
      t.equal((await mta.message()).reply.type, 'reject');
      const drained = milter.drain(1000);
      await mta.closed();
      await drained;
      t.equal(server.listening, false);
    });

    t.test('above the limit connections wait their turn', async (t) => {
      let most = 2;
      const running = await start(t, { reading, maxConnections: () => most });
      const [first, second] = [await running.mta(), await running.mta()];
      let served = false;
      const third = running.mta().then((mta) => {
        served = true;
        return mta;
      });
      await until(() => running.milter.waiting() === 1);
      await sleep(20);
      t.equal(served, false);
      t.equal(running.milter.connections(), 3);
      await first.quit();
      t.equal((await (await third).message()).reply.type, 'accept');
      most = 3;
      const fourth = await running.mta();
      t.equal((await fourth.message()).reply.type, 'accept', 'a limit that was raised');
      await Promise.all([second.quit(), (await third).quit(), fourth.quit()]);
    });
  });
}

t.test('where a socket is not built as expected, the plain way is used', async (t) => {
  const server = createServer();
  server.on('connection', (socket: unknown) => {
    const { _handle } = socket as { _handle: { useUserBuffer?: unknown } };
    _handle.useUserBuffer = undefined;
  });
  const milter = new MilterServer(
    { events: {}, onError: t.error, handler: () => ({ endOfMessage: () => ({ verdict: 'reject' }) }) },
    server,
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const mta = await TestMta.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  await mta.negotiate();
  t.equal((await mta.message()).reply.type, 'reject');
  await mta.quit();
  await milter.drain(1000);
});

t.test('drain: idle connections end, a message in flight is finished', async (t) => {
  let release = (): void => {};
  const running = await start(t, {}, () => new Promise((resolve) => (release = () => resolve({ verdict: 'accept' }))));
  const [idle, busy] = [await running.mta(), await running.mta()];
  const message = busy.message();
  await until(() => running.bodies.length === 1);
  let drained = false;
  const draining = running.milter.drain(60_000).then(() => {
    drained = true;
  });
  await idle.closed();
  await t.rejects(once(connect(running.path), 'connect'), { code: 'ENOENT' }, 'no longer accepting');
  t.equal(drained, false);
  release();
  t.equal((await message).reply.type, 'accept');
  await busy.closed();
  await draining;
  t.equal(running.milter.connections(), 0);
});

t.test('drain: the deadline cuts off what does not end', async (t) => {
  const running = await start(t, {}, () => new Promise(() => {}));
  const mta = await running.mta();
  const message = mta.message();
  await until(() => running.bodies.length === 1);
  await Promise.all([t.rejects(message), running.milter.drain(20)]);
});

t.test('timeouts', async (t) => {
  type Row = readonly [options: Partial<MilterServerOptions>, send: (mta: TestMta) => void, code: string, why: string];
  const rows: readonly Row[] = [
    [{ idleTimeoutMs: 200 }, () => {}, 'idle_timeout', 'silence between messages'],
    [{ idleTimeoutMs: 200 }, (mta) => mta.send(P.SMFIC_MAIL, '<a@x>\0'), 'idle_timeout', 'silence in the envelope'],
    [{ readTimeoutMs: 200 }, (mta) => mta.raw(Buffer.from([0, 0])), 'read_timeout', 'silence in a frame'],
    [
      { readTimeoutMs: 200 },
      (mta) => {
        mta.send(P.SMFIC_MAIL, '<a@x>\0');
        mta.send(P.SMFIC_HEADER, 'Subject\0hi\0');
      },
      'read_timeout',
      'silence in the content',
    ],
  ];
  const tried = rows.map(async ([options, send, code, why]) => {
    const running = await start(t, options);
    const mta = await running.mta();
    send(mta);
    await mta.closed();
    t.match(running.errors, [{ code }], why);
  });
  await Promise.all(tried);
  const silent = await start(t, { readTimeoutMs: 200 });
  const mta = await TestMta.connect({ path: silent.path });
  await mta.closed();
  t.match(silent.errors, [{ code: 'read_timeout' }], 'no negotiation at all');
});

t.test('the envelope may take longer than the content', async (t) => {
  const running = await start(t, { readTimeoutMs: 200 });
  const mta = await running.mta();
  mta.send(P.SMFIC_MAIL, '<a@x>\0');
  await mta.read();
  await sleep(350);
  mta.send(P.SMFIC_BODYEOB);
  t.equal((await mta.read()).type, 'accept', 'the SMTP client was slow, not the MTA');
  await mta.quit();
});

t.test('a slow answer: progress is reported, then the limit tempfails', async (t) => {
  const running = await start(t, { progressIntervalMs: 20, answerTimeoutMs: 400 }, () => new Promise(() => {}));
  const mta = await running.mta();
  const { reply, progress } = await mta.message();
  t.match(reply, { type: 'replyCode', text: /^451 4\.3\.0 / });
  t.ok(progress >= 2, `${progress} times`);
  t.match(running.errors, [
    { code: 'answer_timeout', context: { kind: 'handler', event: 'endOfMessage', queueId: 'TEST1' } },
  ]);
  mta.abort();
  await mta.quit();
});
