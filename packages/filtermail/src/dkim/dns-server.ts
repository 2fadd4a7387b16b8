/**
 * [io] The address of a DNS server, as the configuration and the system write it.
 */

import { isIP } from 'node:net';

export interface DnsServer {
  readonly address: string;
  readonly port: number;
}

const DNS_PORT = 53;

/** Parses `address`, `address:port`, `[address]:port`; undefined for anything else. */
export function parseDnsServer(text: string): DnsServer | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? text;
  const port = Number(match?.[3] ?? DNS_PORT);
  // A link-local address has a zone: fe80::1%eth0.
  const isAddress = isIP(address.split('%')[0]!) !== 0;
  return isAddress && port > 0 && port < 65_536 ? { address, port } : undefined;
}
