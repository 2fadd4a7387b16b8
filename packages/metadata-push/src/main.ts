/**
 * [io] metadata-push: METADATA entries and push notifications for Dovecot, over its dict protocol.
 */

import { type Config, ConfigError, type DaemonContext, type Logger, runDaemon, type Service } from '#core';
import { createDictServer } from '#dovecot-dict';
import { Database } from './database.ts';
import { DeliveryRecord } from './delivery-record.ts';
import { createMetadataHandler } from './handler.ts';
import { importInheritedState } from './inherited-state.ts';
import { readOperatorFiles } from './operator-files.ts';
import { createGateway } from './providers/gateway.ts';
import type { Expiring } from './providers/provider.ts';
import { createPushMetrics, registerExpiry } from './push-metrics.ts';
import { PushTester } from './push-test.ts';
import type { RoutedProvider } from './push-window.ts';
import { MAX_ON_THE_WIRE, Pusher } from './pusher.ts';
import { QueueStore } from './queue-store.ts';
import { TokenStore } from './token-store.ts';
import { readTurnCredentials } from './turn-client.ts';
import { makeTurnCredentials } from './turn-credentials.ts';
import { Waker } from './waker.ts';

/** Above every time limit of our own (5 s for TURN, 10 s for the disk), below Dovecot's 30 s. */
const HANDLER_TIMEOUT_MS = 15_000;
/** Pushes on the wire at SIGTERM have this long; systemd kills much later. */
const STOP_MS = 5000;
/** How often it is looked whether old tokens are to be removed; that happens once a day. */
const SWEEP_CHECK_MS = 60 * 60 * 1000;
/** Upper bounds, seconds: from one look into memory to the time limit of a TURN server. */
const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1, 5];

async function providerOf(config: Config, log: Logger): Promise<RoutedProvider & Expiring> {
  // Loaded here only: TLS and what it signs with would cost 3 MB that a relay behind a gateway does not need.
  if (config.push === 'direct') return (await import('./providers/credentials.ts')).createDirect(config, log);
  if (config.push_gateway_url === '') throw new ConfigError('must be a URL', { key: 'push_gateway_url' });
  return createGateway({ url: config.push_gateway_url, connections: MAX_ON_THE_WIRE, now: Date.now });
}

async function start({ config: firstConfig, log, metrics }: DaemonContext): Promise<Service> {
  let config = firstConfig;
  let files = readOperatorFiles(config, log);
  let provider = await providerOf(config, log);
  registerExpiry(metrics, () => provider);
  const database = Database.open(config.state_dir, log);
  const tokens = new TokenStore(database, log);
  const queue = new QueueStore(database, log);
  await importInheritedState({
    mailboxesDir: config.mailboxes_dir,
    database,
    tokens,
    queue,
    log,
    now: Date.now(),
  }).catch((error) =>
    log.error('push state of the former relay was not taken over; the next start tries again', { error }),
  );
  const pushMetrics = createPushMetrics(metrics, tokens, queue, new DeliveryRecord(database, Date.now()), Date.now);
  const tester = new PushTester({ tokens, now: Date.now });
  const pusher = new Pusher({
    tokens,
    queue,
    provider: tester.watch(provider),
    metrics: pushMetrics,
    log,
    now: Date.now,
    random: Math.random,
  });
  const waker = new Waker({ mailboxesDir: () => config.mailboxes_dir, log, metrics, now: Date.now });
  const handler = createMetadataHandler({
    config: () => config,
    tokens,
    pusher,
    waker,
    turnCredentials: async () =>
      files.turnSecret === undefined
        ? readTurnCredentials(config.turn_socket_path)
        : makeTurnCredentials(files.turnSecret, Date.now()),
    testPush: (account) => tester.test(account, (name) => pusher.notify(name)),
    pushStats: () => pushMetrics.stats(),
    appVersions: () => files.appVersions,
    now: Date.now,
  });
  const requestSeconds = metrics.histogram('metadata_push_request_seconds', 'Time to answer Dovecot.', REQUEST_SECONDS);
  const endOfSweeps = new AbortController();
  let swept = Promise.resolve();
  const sweep = () => {
    swept = tokens
      .sweep(Date.now(), endOfSweeps.signal)
      .catch((error) => log.error('removing old tokens failed', { error }));
  };
  const sweeping = setInterval(sweep, SWEEP_CHECK_MS);
  sweeping.unref();
  sweep();
  pusher.start();
  void waker.wakeMissed();

  return {
    open: () =>
      createDictServer(handler, {
        handlerTimeoutMs: HANDLER_TIMEOUT_MS,
        onAnswered: (ms) => requestSeconds.observe(ms / 1000),
        onProtocolError: (error) => log.warn('dict peer broke the protocol', { reason: error.code }),
        onDrop: () => log.warn('too many connections; one was closed'),
        onHandlerError: (error) => {
          log.error('dict command failed', { error });
          return undefined;
        },
      }),
    async reload(next) {
      if (next.state_dir !== config.state_dir) throw new ConfigError('needs a restart', { key: 'state_dir' });
      const nextFiles = readOperatorFiles(next, log);
      // The files direct pushes are signed with may have changed under the same names.
      const isSameProvider =
        next.push === 'gateway' && config.push === 'gateway' && next.push_gateway_url === config.push_gateway_url;
      const nextProvider = isSameProvider ? undefined : await providerOf(next, log);
      files = nextFiles;
      config = next;
      if (!nextProvider) return;
      provider = nextProvider;
      pusher.useProvider(tester.watch(nextProvider));
    },
    isIdle: () => pusher.isIdle() && waker.isIdle(),
    async close() {
      clearInterval(sweeping);
      endOfSweeps.abort();
      await Promise.all([pusher.stop(STOP_MS), waker.stop(), swept]);
      await database.close();
    },
  };
}

await runDaemon({
  name: 'metadata-push',
  summary: 'METADATA entries and push notifications for Dovecot',
  listeners: { metadata: 'unix:/run/chatmail-metadata/metadata.socket' },
  start,
});
