import t from 'tap';
import { parseAddress, parseConfig } from '#core';
import { checkApplication, checkHost, type HostState } from '../src/registration.ts';

const config = (lines = '') => parseConfig(`[params]\nmail_domain = x.org\n${lines}`);

t.test('what the client chose', async (t) => {
  const rows: [address: string, passwordBytes: number, lines: string, expected: string | undefined, reason: string][] =
    [
      ['abcdefghi@x.org', 9, '', undefined, 'nine characters, nine bytes'],
      ['a.b_c-d09@x.org', 9, '', undefined, 'every kind of character'],
      ['abcdefghi@[127.0.0.1]', 9, '', undefined, 'an IP relay'],
      ['ABCDEFGHI@X.org', 9, '', undefined, 'capitals are the same name'],
      ['abcdefgh@x.org', 9, '', 'name-length', 'one short'],
      ['abcdefghij@x.org', 9, '', 'name-length', 'one long'],
      ['ab@x.org', 9, 'username_min_length = 2', undefined, 'the minimum is configurable'],
      ['abcdefghij@x.org', 9, 'username_max_length = 10', undefined, 'the maximum is configurable'],
      ['abcdef+hi@x.org', 9, '', 'name-characters', 'plus is for address details'],
      ['abcdefgh\u00e9@x.org', 9, '', 'name-characters', 'not ASCII'],
      ['abcdefghi@x.org', 8, '', 'password-length', 'one byte short'],
      ['abcdefghi@x.org', 0, '', 'password-length', 'an empty password'],
      ['abcdefghi@x.org', 1024, '', undefined, 'the longest password'],
      ['abcdefghi@x.org', 1025, '', 'password-length', 'too much to hash'],
      ['abcdefghi@x.org', 9, 'registration = closed', 'registration-closed', 'closed'],
      ['abcdefghi@x.org', 9, 'registration = token', undefined, 'whether it was handed out is not decided here'],
    ];
  for (const [address, passwordBytes, lines, expected, reason] of rows) {
    t.equal(checkApplication(config(lines), parseAddress(address)!, passwordBytes), expected, `${address}: ${reason}`);
  }
});

t.test('what the host has to spare', async (t) => {
  const rich: HostState = {
    load1: 5,
    availableMemoryBytes: 200 * 2 ** 20,
    freeDiskBytes: 2 ** 30,
    isCreationStopped: false,
  };
  const nothing = { load1: undefined, availableMemoryBytes: undefined, freeDiskBytes: undefined };
  const rows: [host: HostState, expected: string | undefined, reason: string][] = [
    [rich, undefined, 'the limits themselves are enough'],
    [{ ...rich, load1: 5.01 }, 'high-load', 'over max_load_1m'],
    [{ ...rich, availableMemoryBytes: 200 * 2 ** 20 - 1 }, 'low-memory', 'under min_available_memory'],
    [{ ...rich, freeDiskBytes: 2 ** 30 - 1 }, 'low-disk', 'under min_free_disk_space'],
    [{ ...nothing, isCreationStopped: false }, undefined, 'unreadable values decide nothing'],
    [{ ...rich, isCreationStopped: true }, 'creation-stopped', 'the emergency brake'],
  ];
  for (const [host, expected, reason] of rows) t.equal(checkHost(config(), host), expected, reason);
});
