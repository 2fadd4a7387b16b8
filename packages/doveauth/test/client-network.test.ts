import t from 'tap';
import { clientNetworks } from '../src/client-network.ts';

t.test('whom a request is counted under', async (t) => {
  const rows: [forwardedFor: string | undefined, realIp: string | undefined, networks: string[], reason: string][] = [
    [undefined, undefined, [], 'a web server that says nothing'],
    ['203.0.113.7', undefined, ['203.0.113.7'], 'one header'],
    [undefined, '203.0.113.7', ['203.0.113.7'], 'the other'],
    ['203.0.113.7', '203.0.113.7', ['203.0.113.7'], 'both the same'],
    ['203.0.113.7', '10.0.0.1', ['203.0.113.7', '10.0.0.1'], 'one of them may be invented'],
    ['10.0.0.1, 203.0.113.7', undefined, ['203.0.113.7'], "the last is the web server's own"],
    ['', ' ', [], 'empty'],
    ['2001:db8:1:2:3:4:5:6', undefined, ['2001:db8:1:2::/64'], 'IPv6 by /64'],
    ['2001:DB8:1:2::1', undefined, ['2001:db8:1:2::/64'], 'shortened'],
    ['2001:db8::1', undefined, ['2001:db8:0:0::/64'], 'zeros in the network'],
    ['::1', undefined, ['0:0:0:0::/64'], 'zeros in front'],
    ['[2001:db8:1:2::1]', undefined, ['2001:db8:1:2::/64'], 'in brackets'],
    ['::ffff:203.0.113.7', undefined, ['203.0.113.7'], 'IPv4 in IPv6'],
    ['unix:', undefined, ['unix:'], 'no address'],
    ['not:an:address::', undefined, ['not:an:address::'], 'nor this'],
    ['1:2:3', undefined, ['1:2:3'], 'too short'],
    ['x'.repeat(100), undefined, ['x'.repeat(64)], 'long'],
  ];
  for (const [forwardedFor, realIp, networks, reason] of rows) {
    t.same(clientNetworks(forwardedFor, realIp), networks, reason);
  }
});
