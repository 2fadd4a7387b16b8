/**
 * [io] Asks the name servers that own a zone, so that an answer is neither old nor somebody's cache: which servers those are says
 * the resolver, going up from the name until there are some (RFC 1034 section 4.2). Where they cannot be reached, because port
 * 53 is closed on the way, the resolver's word counts. Servers that are silent cost seconds once, not for each question.
 */

import type { CaaRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { DnsAnswer } from './compare.ts';
import type { RecordType } from './zone.ts';

/** How long to wait for servers that are silent. */
export interface Patience {
  /** For one server, ms. The second try waits twice as long. */
  readonly timeoutMs: number;
  readonly tries: number;
  /** The longest a question takes, ms, whatever the number of servers. */
  readonly questionMs: number;
}

/** A second try to two servers fits. */
const PATIENCE: Patience = { timeoutMs: 1500, tries: 2, questionMs: 6000 };
/** Servers of a zone that are asked; the others say the same. */
const MAX_SERVERS = 4;

type Ask = (name: string, type: RecordType) => Promise<DnsAnswer>;

/** Somebody who answers about one zone. */
export interface ZoneServers {
  /** Who is asked: names of the zone's own servers, or of the resolver. */
  readonly names: readonly string[];
  readonly isAuthoritative: boolean;
  readonly ask: Ask;
  /** Asks the resolver: for names outside the zone. */
  readonly askElsewhere: Ask;
}

/** @param servers addresses of the resolver, with or without a port; none: the system's */
export async function findZoneServers(
  domain: string,
  servers: readonly string[],
  patience = PATIENCE,
): Promise<ZoneServers> {
  const resolver = createResolver(servers, patience);
  const { questionMs } = patience;
  const found = await serversOf(domain, resolver, questionMs);
  const askElsewhere = found.isSilent ? silence : createAsk(resolver, questionMs);
  const fallback = { names: resolver.getServers(), isAuthoritative: false, ask: askElsewhere, askElsewhere };
  const candidates = await Promise.all(
    found.names.slice(0, MAX_SERVERS).map(async (name) => ({
      name,
      addresses: await addressesOf(name, resolver, questionMs),
    })),
  );
  const pairs = candidates.flatMap(({ name, addresses }) => addresses.map((address) => ({ name, address })));
  const answering = await Promise.all(
    pairs.map(
      async ({ address }) =>
        (await createAsk(createResolver([address], patience), questionMs)(domain, 'MX')).kind === 'answer',
    ),
  );
  const reached = pairs.filter((_, index) => answering[index]);
  if (reached.length === 0) return fallback;
  const own = createResolver(
    reached.map(({ address }) => address),
    patience,
  );
  const names = [...new Set(reached.map(({ name }) => name))];
  return { names, isAuthoritative: true, ask: createAsk(own, questionMs), askElsewhere };
}

function createResolver(servers: readonly string[], { timeoutMs, tries }: Patience): Resolver {
  const resolver = new Resolver({ timeout: timeoutMs, tries });
  if (servers.length > 0) resolver.setServers(servers);
  return resolver;
}

/** The servers of the innermost zone around a name. `isSilent`: no question was answered at all. */
async function serversOf(
  domain: string,
  resolver: Resolver,
  questionMs: number,
): Promise<{ names: string[]; isSilent: boolean }> {
  const labels = domain.split('.');
  // A name of one label is a top-level domain, whose servers would only refer us down again.
  const zones = labels.slice(0, -1).map((_, from) => labels.slice(from).join('.'));
  const answers = await Promise.all(
    zones.map((zone) => within(questionMs, resolver.resolveNs(zone)).catch((error: NodeJS.ErrnoException) => error)),
  );
  const names = answers.find((answer) => Array.isArray(answer)) ?? [];
  const isSilent =
    answers.length > 0 && answers.every((answer) => !Array.isArray(answer) && answer.code === 'ETIMEOUT');
  return { names: [...names].sort(), isSilent };
}

async function addressesOf(name: string, resolver: Resolver, questionMs: number): Promise<string[]> {
  const [ipv4, ipv6] = await Promise.all([
    within(questionMs, resolver.resolve4(name)).catch(() => []),
    within(questionMs, resolver.resolve6(name)).catch(() => []),
  ]);
  // c-ares asks in this order, and a machine without IPv6 fails at once with the others.
  return [...ipv4, ...ipv6];
}

function createAsk(resolver: Resolver, questionMs: number): Ask {
  return async (name, type) => {
    try {
      return { kind: 'answer', values: await within(questionMs, valuesOf(resolver, name, type)) };
    } catch (error) {
      const { code = 'unknown' } = error as NodeJS.ErrnoException;
      return code === 'ENODATA' || code === 'ENOTFOUND'
        ? { kind: 'answer', values: [] }
        : { kind: 'unknown', reason: `the name server: ${code}` };
    }
  };
}

async function silence(): Promise<DnsAnswer> {
  return { kind: 'unknown', reason: 'the name server: ETIMEOUT' };
}

/** A question's answer, or ETIMEOUT: c-ares waits for each of its servers in turn. */
async function within<T>(questionMs: number, question: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('no answer'), { code: 'ETIMEOUT' })), questionMs);
  });
  try {
    return await Promise.race([question, limit]);
  } finally {
    clearTimeout(timer);
  }
}

async function valuesOf(resolver: Resolver, name: string, type: RecordType): Promise<string[]> {
  switch (type) {
    case 'A':
      return await resolver.resolve4(name);
    case 'AAAA':
      return await resolver.resolve6(name);
    case 'MX':
      return (await resolver.resolveMx(name)).map(({ priority, exchange }) => `${priority} ${exchange}`);
    case 'TXT':
      return (await resolver.resolveTxt(name)).map((strings) => strings.join(''));
    case 'CNAME':
      return await resolver.resolveCname(name);
    case 'SRV':
      return (await resolver.resolveSrv(name)).map(
        ({ priority, weight, port, name: target }) => `${priority} ${weight} ${port} ${target}`,
      );
    case 'CAA':
      return (await resolver.resolveCaa(name)).map(formatCaa);
    case 'PTR':
      return await resolver.resolvePtr(name);
  }
}

function formatCaa(record: CaaRecord): string {
  const [property = '', value = ''] =
    Object.entries(record).find(([name]) => name !== 'critical' && name !== 'type') ?? [];
  return `${record.critical} ${property} "${value}"`;
}
