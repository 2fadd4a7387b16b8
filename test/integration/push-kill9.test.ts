/**
 * metadata-push is killed every 200 ms while 5,000 pushes go through it: every push it acknowledged arrives, and how many arrive
 * twice is bounded and counted.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { DictClient } from '#dovecot-dict/testing';
import { MAX_ON_THE_WIRE } from '../../packages/metadata-push/src/pusher.ts';
import { startGatewayStub } from '../../packages/metadata-push/test/fixtures/gateway-stub.ts';

const PUSHES = 5000;
/** Messages begun in one life of the daemon, which makes some 20 lives. */
const PER_LIFE = 250;
const LIFE_MS = 200;
const ANSWER_MS = 5;
/** Delivered, but still on disk: finished pushes leave it 25 ms later. As many as two gateways this quick could take meanwhile. */
const MAX_UNWRITTEN = 2 * MAX_ON_THE_WIRE * (25 / ANSWER_MS);
const KEY = 'priv/88b5140ddc6d026b1010000083ecc375';

const directory = mkdtempSync(join(tmpdir(), 'push-kill9-'));
const socket = join(directory, 'metadata.sock');
const ini = join(directory, 'chatmail.ini');
const gateway = await startGatewayStub(t);
gateway.answer = (response) => void setTimeout(() => response.end(), ANSWER_MS);
mkdirSync(join(directory, 'mail'));
writeFileSync(
  ini,
  `[params]\nmail_domain = x.org\nmailboxes_dir = ${directory}/mail\nstate_dir = ${directory}/state\n` +
    `push_gateway_url = ${gateway.url}\nturn_socket_path =\n`,
);

let daemon: ChildProcess | undefined;
async function start(): Promise<void> {
  daemon = spawn(
    join(import.meta.dirname, '../../bin/metadata-push'),
    ['--config', ini, '--listen', `metadata=unix:${socket}`],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let log = '';
  await new Promise<void>((resolve, reject) => {
    daemon!.stderr!.on('data', (chunk: Buffer) => {
      log += chunk;
      if (log.includes('ready ')) resolve();
    });
    daemon!.once('close', () => reject(new Error(`ended: ${log}`)));
  });
}
async function kill(): Promise<void> {
  const closed = once(daemon!, 'close');
  daemon!.kill('SIGKILL');
  await closed;
  daemon = undefined;
}
t.teardown(async () => {
  if (daemon) await kill();
  rmSync(directory, { recursive: true });
});

const account = (n: number) => `u${String(n).padStart(8, '0')}@x.org`;

t.setTimeout(450_000);
t.test('nothing acknowledged is lost', { timeout: 400_000 }, async (t) => {
  await start();
  const setter = await DictClient.connect(socket);
  await Promise.all(
    Array.from({ length: PUSHES }, (_, n) => setter.begin(account(n)).set(`${KEY}/devicetoken`, `token-${n}`).commit()),
  );
  await setter.close();

  let todo = Array.from({ length: PUSHES }, (_, n) => n);
  let kills = 0;
  let unacknowledged = 0;
  let lifeMs = LIFE_MS;
  while (todo.length > 0) {
    const client = await DictClient.connect(socket);
    const killed = sleep(lifeMs).then(kill);
    const begun = todo.slice(0, PER_LIFE);
    // Spread over the life, so that the end comes in the middle of accepting, sending and writing down.
    const results = await Promise.all(
      begun.map(async (n, index) => {
        await sleep((index / PER_LIFE) * lifeMs * 1.1);
        return client
          .begin(account(n))
          .set(`${KEY}/messagenew`, '')
          .commit()
          .then(
            (reply) => reply.kind === 'committed',
            () => false,
          );
      }),
    );
    await killed;
    await client.close().catch(() => {});
    kills++;
    const missed = begun.filter((_, index) => !results[index]);
    unacknowledged += missed.length;
    // A machine too busy to get anything done in such a life.
    if (missed.length > PER_LIFE / 2) lifeMs += LIFE_MS / 2;
    todo = [...todo.slice(PER_LIFE), ...missed];
    await start();
  }
  // The last life is a quiet one: what is on disk goes out now.
  const isThere = () => new Set(gateway.posts).size === PUSHES;
  for (const deadline = Date.now() + 20_000; !isThere() && Date.now() < deadline; ) await sleep(50);
  const arrived = new Set(gateway.posts).size;
  t.equal(arrived, PUSHES, 'every push that was acknowledged has arrived');
  await sleep(500);
  const twice = gateway.posts.length - arrived;
  t.comment(`${kills} kills, ${unacknowledged} messages asked again, ${twice} pushes more than needed`);
  t.ok(kills >= PUSHES / PER_LIFE, 'it was killed all the while');
  t.ok(unacknowledged > 0, 'and in the middle of accepting');
  t.ok(twice <= kills * (MAX_ON_THE_WIRE + MAX_UNWRITTEN) + unacknowledged, 'the ones sent twice are bounded');
  t.ok(twice < PUSHES / 2, 'and a minority');
});
