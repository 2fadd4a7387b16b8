import t from 'tap';
import { isPublicAddress } from '../src/public-address.ts';

t.test('addresses', async (t) => {
  for (const address of ['1.1.1.1', '9.255.255.255', '100.63.255.255', '172.15.0.1', '172.32.0.1', '223.255.255.255']) {
    t.equal(isPublicAddress(address), true, address);
  }
  for (const address of ['2606:4700::1111', '2a00:1450:4001::1', '2001:4860:4860::8888']) {
    t.equal(isPublicAddress(address), true, address);
  }
  const rows: [address: string, reason: string][] = [
    ['0.0.0.0', 'this host'],
    ['10.1.2.3', 'private'],
    ['100.64.0.1', 'shared with the carrier'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.169.254', 'link-local'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.0.0.8', 'protocol assignments'],
    ['192.0.2.1', 'documentation'],
    ['192.168.1.1', 'private'],
    ['198.18.0.1', 'benchmarks'],
    ['198.51.100.1', 'documentation'],
    ['203.0.113.1', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::127.0.0.1', 'IPv4-compatible'],
    ['::ffff:127.0.0.1', 'IPv4-mapped'],
    ['::ffff:1.1.1.1', 'IPv4-mapped, even of a public one'],
    ['64:ff9b::a00:1', 'NAT64'],
    ['100::1', 'discard'],
    ['2001::1', 'Teredo'],
    ['2001:db8::1', 'documentation'],
    ['2002:7f00:1::', '6to4'],
    ['3fff::1', 'documentation'],
    ['5f00::1', 'segment routing'],
    ['fc00::1', 'unique local'],
    ['fd12:3456::1', 'unique local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local with a zone'],
    ['fec0::1', 'site-local'],
    ['ff02::1', 'multicast'],
    ['localhost', 'not an address'],
    ['', 'nothing'],
  ];
  for (const [address, reason] of rows) t.equal(isPublicAddress(address), false, `${address}: ${reason}`);
});
