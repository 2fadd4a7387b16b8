/**
 * [io] filtermail: the milters of a relay. `outgoing` judges what accounts send, `incoming` what other servers bring, `sign`
 * is for mail the MTA makes itself. Wiring only.
 */

import { performance } from 'node:perf_hooks';
import { type Config, type DaemonContext, runDaemon, type Service } from '#core';
import {
  type HandlerFactory,
  MilterServer,
  type MilterServerOptions,
  SMFIF_ADDHDRS,
  SMFIF_CHGFROM,
  SMFIF_CHGHDRS,
} from '#milter';
import { DkimAuthentication } from './dkim/authentication.ts';
import { readSigningKeys } from './dkim/key-file.ts';
import { createKeyStore } from './dkim/key-store.ts';
import { asciiDomain } from './dkim/signature.ts';
import { DkimSigning, type SigningSettings } from './dkim/signing.ts';
import { createE2eeStore } from './e2ee-store.ts';
import { createDkimMetrics, createFilterMetrics } from './filter-metrics.ts';
import { FILTER_EVENTS, FilterHandler, type FilterSettings, INCOMING_EVENTS } from './handler.ts';
import { type CleartextPolicy, createIncomingStages } from './incoming.ts';
import { createOutgoingStages } from './outgoing.ts';
import type { Direction } from './part-header.ts';
import { RateLimit } from './rate-limit.ts';
import { SIGN_EVENTS, SignHandler } from './sign-handler.ts';
import type { Stage } from './transaction.ts';

const SPOOL = '/var/spool/postfix/filtermail';
const LISTENERS = ['outgoing', 'incoming', 'sign'] as const;

await runDaemon({
  name: 'filtermail',
  summary: 'lets nothing but authentic, end-to-end encrypted mail leave or enter a relay',
  listeners: Object.fromEntries(LISTENERS.map((name) => [name, `unix:${SPOOL}/${name}.sock`])),
  start,
});

/** Submission has so many ports, each with up to max_smtp_connections: 465, 587, and 443 through the web server. */
const MAX_PORTS = 3;

function start(context: DaemonContext): Service {
  const metrics = createFilterMetrics(context.metrics);
  const now = () => performance.now();
  let config = context.config;
  let cleartextPolicy: CleartextPolicy = createE2eeStore(config.mailboxes_dir);
  const rateLimit = new RateLimit(rateOf(config));
  context.metrics.gauge('filtermail_rate_limited_senders', 'Senders in the rate limit table.', () => rateLimit.size);

  let keys = createKeyStore(config.dns_servers, now);
  context.metrics.gauge('filtermail_dkim_keys_cached', 'DKIM key names remembered.', () => keys.size);
  const dkimMetrics = createDkimMetrics(context.metrics);
  /** Read when the first listener that signs opens: who only receives mail needs no key. */
  let signing: SigningSettings | undefined;
  const createSigning = () => (signing ? new DkimSigning(signing) : undefined);
  const createAuthentication = () => new DkimAuthentication({ keys, nowSeconds, ...dkimMetrics });

  const createStages: Readonly<Record<Direction, () => readonly Stage[]>> = {
    outgoing: () => createOutgoingStages({ config, rateLimit, now, signing: createSigning() }),
    incoming: () => createIncomingStages(cleartextPolicy, createAuthentication()),
  };

  // systemd may pass several sockets of one name; they count together.
  const servers = new Map(LISTENERS.map((listener): [string, MilterServer[]] => [listener, []]));
  for (const [listener, opened] of servers) {
    const connections = () => opened.reduce((sum, server) => sum + server.connections(), 0);
    context.metrics.gauge(`filtermail_${listener}_connections`, 'MTA connections open now.', connections);
  }

  return {
    open(listener) {
      if (listener !== 'incoming') signing ??= readSigning(config);
      const server = new MilterServer({ ...serverOptions(listener), ...limits(context, listener, () => config) });
      servers.get(listener)!.push(server);
      return server;
    },
    reload(next) {
      const isSigning = servers.get('outgoing')!.length + servers.get('sign')!.length > 0;
      const nextSigning = isSigning ? readSigning(next) : undefined;
      keys = createKeyStore(next.dns_servers, now);
      signing = nextSigning;
      config = next;
      cleartextPolicy = createE2eeStore(next.mailboxes_dir);
      rateLimit.configure(rateOf(next));
    },
  };

  function serverOptions(
    listener: string,
  ): Pick<MilterServerOptions, 'handler' | 'events' | 'actions' | 'leadingSpace'> {
    if (listener !== 'outgoing' && listener !== 'incoming') {
      const settings = { createSigning, log: context.log };
      return { handler: (session) => new SignHandler(settings, session), events: SIGN_EVENTS, actions: SMFIF_ADDHDRS };
    }
    const settings: FilterSettings = {
      direction: listener,
      createStages: createStages[listener],
      metrics,
      log: context.log,
      now,
    };
    const handler: HandlerFactory = (session) => new FilterHandler(settings, session);
    if (listener === 'outgoing') return { handler, events: FILTER_EVENTS, actions: SMFIF_ADDHDRS | SMFIF_CHGHDRS };
    // Signatures in the simple form cover the blank after the colon.
    return { handler, events: INCOMING_EVENTS, actions: SMFIF_CHGFROM, leadingSpace: true };
  }
}

/** One MTA connection for each SMTP session, and no more than Postfix may have on the ports that share a listener. */
function limits({ log }: DaemonContext, listener: string, config: () => Config) {
  return {
    maxConnections: () => MAX_PORTS * config().max_smtp_connections,
    onError(
      error: Error,
      { kind, queueId }: { kind: 'protocol' | 'handler' | 'socket'; queueId?: string | undefined },
    ) {
      // A connection that ends is the MTA's business; a handler that fails is ours.
      log[kind === 'handler' ? 'error' : 'warn'](`milter ${kind} error`, { listener, queueId, error });
    },
  };
}

/**
 * What signing needs; nothing on a relay without a name.
 *
 * @throws ConfigError when there is no key to sign with
 */
function readSigning(config: Config): SigningSettings | undefined {
  if (config.isIpRelay) return undefined;
  const domain = config.addressDomain;
  return { keys: readSigningKeys(config), domain, asciiDomain: asciiDomain(domain) ?? domain, nowSeconds };
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function rateOf(config: Config) {
  return { perMinute: config.max_user_send_per_minute, burst: config.max_user_send_burst_size };
}
