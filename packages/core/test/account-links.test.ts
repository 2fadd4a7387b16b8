import t from 'tap';
import { formatDcaccountUrl, formatDcloginUrl } from '../src/account-links.ts';
import { parseConfig } from '../src/config.ts';

const config = (lines = '', domain = 'x.org') => parseConfig(`[params]\nmail_domain = ${domain}\n${lines}`);

t.test('links', async (t) => {
  const ip = config('', '203.0.113.7');
  t.equal(
    formatDcloginUrl(ip, 'abcdefghi@[203.0.113.7]', 'pass'),
    'dclogin:abcdefghi@[203.0.113.7]?p=pass&v=1&ih=203.0.113.7&sh=203.0.113.7&ic=3',
  );
  t.equal(formatDcloginUrl(config('', '_x.org'), 'a@_x.org', 'p&s'), 'dclogin:a@_x.org?p=p%26s&v=1&ic=3');
  t.equal(
    formatDcloginUrl(config(), 'a@x.org', 'p&s'),
    'dclogin:a@x.org?p=p%26s&v=1',
    'a certificate clients can check',
  );
  t.equal(formatDcaccountUrl(config(), undefined), 'dcaccount:https://x.org/new');
  t.equal(formatDcaccountUrl(config(), 'a b\r\n'), 'dcaccount:https://x.org/new?t=a%20b%0D%0A', 'nothing breaks out');
});
