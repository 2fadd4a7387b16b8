/**
 * Addresses on the public internet. Source: IANA special-purpose address registries (RFC 6890). [io] only to compare networks.
 */

import { BlockList, isIP } from 'node:net';

const SPECIAL_V4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const;

/** Within 2000::/3, outside which nothing is public: protocol assignments with Teredo, 6to4 (both carry IPv4), documentation. */
const SPECIAL_V6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

/** Made at first use: most daemons never ask. */
let networks: { readonly special: BlockList; readonly global: BlockList } | undefined;

function makeNetworks() {
  const special = new BlockList();
  for (const [network, prefix] of SPECIAL_V4) special.addSubnet(network, prefix, 'ipv4');
  for (const [network, prefix] of SPECIAL_V6) special.addSubnet(network, prefix, 'ipv6');
  const global = new BlockList();
  global.addSubnet('2000::', 3, 'ipv6');
  return { special, global };
}

/** True when a text is an IP address of a host on the public internet. IPv4 inside IPv6, in whatever form, is not. */
export function isPublicAddress(address: string): boolean {
  networks ??= makeNetworks();
  const { special, global } = networks;
  const family = isIP(address);
  if (family === 4) return !special.check(address, 'ipv4');
  return family === 6 && global.check(address, 'ipv6') && !special.check(address, 'ipv6');
}
