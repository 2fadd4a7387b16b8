/**
 * [io] What all daemons do alike: read arguments and configuration, listen, say `ready`, reload on SIGHUP, and end on SIGTERM
 * or after idling, with what is in flight finished first. A daemon's own main.ts only names its listeners and its service.
 */

import type { Server as HttpServer } from 'node:http';
import type { Server } from 'node:net';
import { type DaemonArguments, parseDaemonArguments } from './arguments.ts';
import type { Config } from './config.ts';
import { loadConfig } from './config-file.ts';
import { EXIT_BUG, EXIT_OK, ExitError, exitCodeOf } from './errors.ts';
import { formatListenAddress, type ListenAddress, listen, parseListenAddress, takeInheritedSockets } from './listen.ts';
import { createLogger, type Logger } from './log.ts';
import { createMetrics, type Metrics, NO_METRICS } from './metrics.ts';
import { packageVersion } from './version.ts';

/** Longest time what is in flight may take to finish after SIGTERM, ms. */
const DRAIN_MS = 10_000;

/** A server a daemon offers: the milter, dict and HTTP servers all have this shape. */
export interface DaemonServer {
  readonly server: Server;
  /** Connections open now. */
  connections(): number;
  /** Stops accepting and resolves when what is in flight has ended, or was cut off after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
}

export interface DaemonContext {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface Service {
  /** Makes the server of one listener; called once for every socket of that name. */
  open(listener: string): DaemonServer;
  /** Takes a new configuration. When it throws, the old one stays. */
  reload?(config: Config): void | Promise<void>;
  /** False while there is work that ending would interrupt, although nobody is connected. */
  isIdle?(): boolean;
  /** Ends background work and closes files, after all servers have drained. */
  close?(): Promise<void>;
}

export interface DaemonDescription {
  readonly name: string;
  /** One line for --help. */
  readonly summary: string;
  /** Listener names and the addresses they have when nobody says otherwise. */
  readonly listeners: Readonly<Record<string, string>>;
  /** Names of listeners that are off unless given. */
  readonly optionalListeners?: readonly string[];
  start(context: DaemonContext): Service | Promise<Service>;
}

interface Listening {
  readonly name: string;
  readonly address: ListenAddress;
  readonly opened: DaemonServer;
}

/** Runs a daemon until a signal ends it. The process exits by itself; nothing is to be done after this. */
export async function runDaemon(
  daemon: DaemonDescription,
  words: readonly string[] = process.argv.slice(2),
): Promise<void> {
  let log = createLogger();
  const fail = (error: unknown) => {
    // The texts of ExitErrors are written for the operator; any other message may quote user input.
    if (error instanceof ExitError) process.stderr.write(`<3>${daemon.name}: ${error.message}\n`);
    else log.error('unexpected error', { error });
    process.exit(exitCodeOf(error));
  };
  process.on('uncaughtException', fail);
  try {
    const args = parseDaemonArguments(words, [...Object.keys(daemon.listeners), ...optionalNames(daemon)]);
    if (args.help || args.version) {
      process.stdout.write(args.help ? usage(daemon) : `${daemon.name} ${packageVersion()}\n`);
      process.exit(EXIT_OK);
    }
    log = createLogger(args.logLevel);
    await serve(daemon, args, log);
  } catch (error) {
    fail(error);
  }
}

async function serve(daemon: DaemonDescription, args: DaemonArguments, log: Logger): Promise<void> {
  let allowReloads = () => {};
  // From the beginning, because a SIGHUP nobody listens to ends a process: what comes while starting waits for that.
  let reloads = new Promise<void>((resolve) => {
    allowReloads = resolve;
  });
  // One after the other: of two readings of the file the later one must win.
  process.on('SIGHUP', () => {
    reloads = reloads.then(() => reload(daemon, args, service, log));
  });
  const config = readConfig(daemon, args);
  const inherited = takeInheritedSockets(process.env, process.pid);
  const addresses = listenAddresses(daemon, args, inherited);
  const metrics = addresses.some(([name]) => name === 'metrics') ? await createMetrics() : NO_METRICS;
  const service = await daemon.start({ config, log, metrics });

  const running: Listening[] = [];
  for (const [name, address] of addresses) {
    const opened = name === 'metrics' ? await metricsServer(metrics) : service.open(name);
    running.push({ name, address: await listen(opened.server, address), opened });
  }

  let isEnding = false;
  const end = async (reason: string) => {
    if (isEnding) return;
    isEnding = true;
    log.info(`stopping: ${reason}`);
    await Promise.all(running.map(({ opened }) => opened.drain(DRAIN_MS)));
    await service.close?.();
    process.exit(EXIT_OK);
  };
  const endOrFail = (reason: string) =>
    void end(reason).catch((error) => {
      log.error('stopping failed', { error });
      process.exit(EXIT_BUG);
    });
  process.on('SIGTERM', () => endOrFail('SIGTERM'));
  process.on('SIGINT', () => endOrFail('SIGINT'));
  if (args.idleExitSeconds !== undefined && inherited.size > 0) {
    watchIdleness(running, service, args.idleExitSeconds, () => endOrFail('idle'));
  }
  log.info(`ready ${running.map(({ name, address }) => `${name}=${formatListenAddress(address)}`).join(' ')}`);
  allowReloads();
}

/** Listeners without a default address. */
function optionalNames({ optionalListeners = [] }: DaemonDescription): string[] {
  return [...optionalListeners, 'metrics'];
}

/** Reads the configuration and tells the operator what is odd in it. */
function readConfig(daemon: DaemonDescription, args: DaemonArguments): Config {
  const config = loadConfig(args.config);
  for (const warning of config.warnings) warn(daemon, warning);
  return config;
}

/** A warning whose text is written for the operator; it may quote the configuration. */
function warn(daemon: DaemonDescription, text: string): void {
  process.stderr.write(`<4>${daemon.name}: ${text}\n`);
}

/** Inherited sockets win; without any, the command line, then the defaults. */
function listenAddresses(
  daemon: DaemonDescription,
  args: DaemonArguments,
  inherited: ReadonlyMap<string, readonly ListenAddress[]>,
): [name: string, address: ListenAddress][] {
  if (inherited.size > 0) {
    for (const name of args.listen.keys()) {
      warn(daemon, `--listen ${name} has no effect: systemd passed the sockets, add a .socket unit to have one more`);
    }
    for (const name of inherited.keys()) {
      const known = [...Object.keys(daemon.listeners), ...optionalNames(daemon)];
      if (!known.includes(name)) {
        throw new ExitError(78, `systemd passed a socket named '${name}'; known names: ${known.join(', ')}`);
      }
    }
    return [...inherited].flatMap(([name, addresses]) =>
      addresses.map((address): [string, ListenAddress] => [name, address]),
    );
  }
  const defaults = Object.entries(daemon.listeners).map(([name, text]): [string, ListenAddress] => [
    name,
    parseListenAddress(text),
  ]);
  return [...new Map([...defaults, ...args.listen])];
}

async function reload(daemon: DaemonDescription, args: DaemonArguments, service: Service, log: Logger): Promise<void> {
  try {
    await service.reload?.(readConfig(daemon, args));
    log.info('configuration reloaded');
  } catch (error) {
    if (error instanceof ExitError)
      process.stderr.write(`<3>${daemon.name}: ${error.message}; the old configuration stays\n`);
    else log.error('reload failed; the old configuration stays', { error });
  }
}

/** Calls `onIdle` once nobody has been connected for `seconds`. systemd keeps the sockets, so no connection is lost. */
function watchIdleness(running: readonly Listening[], service: Service, seconds: number, onIdle: () => void): void {
  let lastUse = performance.now();
  for (const { opened } of running) {
    opened.server.on('connection', () => {
      lastUse = performance.now();
    });
  }
  const timer = setInterval(
    () => {
      const inUse = running.some(({ opened }) => opened.connections() > 0) || service.isIdle?.() === false;
      if (inUse) lastUse = performance.now();
      else if (performance.now() - lastUse >= seconds * 1000) onIdle();
    },
    Math.min(seconds * 250, 10_000),
  );
  timer.unref();
}

async function metricsServer(metrics: Metrics): Promise<DaemonServer> {
  // Loaded here only: node:http alone would cost every daemon 16 MB.
  const { createServer } = await import('node:http');
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    metrics.page().then(
      (page) => response.writeHead(200, { 'content-type': page?.contentType ?? 'text/plain' }).end(page?.body),
      () => response.writeHead(500).end(),
    );
  });
  return httpDaemonServer(server);
}

/** Gives a `node:http` server the shape of a {@link DaemonServer}. */
export function httpDaemonServer(server: HttpServer): DaemonServer {
  let open = 0;
  server.on('connection', (socket) => {
    open++;
    socket.once('close', () => open--);
  });
  return {
    server,
    connections: () => open,
    drain: (deadlineMs) =>
      new Promise((resolve) => {
        const cutOff = setTimeout(() => server.closeAllConnections(), deadlineMs);
        server.close(() => {
          clearTimeout(cutOff);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

function usage(daemon: DaemonDescription): string {
  const listeners = Object.entries(daemon.listeners).map(([name, address]) => `      ${name}=${address}`);
  const optional = optionalNames(daemon);
  return `${daemon.name}: ${daemon.summary}

usage: ${daemon.name} [--config FILE] [--listen NAME=ADDR]... [--idle-exit SECONDS] [--log-level LEVEL]

  --config FILE        chatmail.ini; else $CHATMAIL_INI, else /etc/chatmail/chatmail.ini or, where that is not,
                       /usr/local/lib/chatmaild/chatmail.ini
  --listen NAME=ADDR   where to listen, unless systemd passes sockets; ADDR is unix:/path, inet:127.0.0.1:PORT or
                       inet:[::1]:PORT. Defaults:
${listeners.join('\n')}
      ${optional.join(' and ')} ${optional.length === 1 ? 'is' : 'are'} off unless given
  --idle-exit SECONDS  under systemd socket activation, exit after that time without a connection
  --log-level LEVEL    trace, debug, info (default), warn, error, fatal or silent
  --help, --version
`;
}
