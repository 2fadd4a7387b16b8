import fc from 'fast-check';
import t from 'tap';
import { type Entry, entryOf } from '../src/entries.ts';

const GUID = '88b5140ddc6d026b1010000083ecc375';
const SERVER = `${GUID}/vendor/vendor.dovecot/pvt/server`;

const rows: [key: string, entry: Entry, reason: string][] = [
  [`priv/${GUID}/devicetoken`, 'devicetoken', 'SETMETADATA INBOX (/private/devicetoken ...)'],
  [`priv/${GUID}/messagenew`, 'messagenew', 'the push hook'],
  [`priv/${GUID}/messagewake`, 'messagewake', 'the push hook, for a message from the account itself'],
  [`shared/${SERVER}/vendor/deltachat/irohrelay`, 'irohrelay', 'GETMETADATA ""'],
  [`shared/${SERVER}/vendor/deltachat/turn`, 'turn', 'GETMETADATA ""'],
  [`shared/${SERVER}/vendor/deltachat/maxsmtprecipients`, 'maxsmtprecipients', 'GETMETADATA ""'],
  ['priv/account', 'account', 'chatmail-expire, which has no mailbox GUID'],
  [`priv/${SERVER}/devicetoken`, 'unknown', 'GETMETADATA "" (/private/devicetoken): a server entry is nobody’s token'],
  [`shared/${GUID}/devicetoken`, 'unknown', 'a shared token would be everybody’s'],
  [`shared/${GUID}/messagenew`, 'unknown', 'shared'],
  [`priv/${GUID}/messagewak`, 'unknown', 'part of a name'],
  [`priv/${SERVER}/vendor/deltachat/turn`, 'unknown', 'private'],
  [`shared/${GUID}/vendor/deltachat/turn`, 'unknown', 'an entry of INBOX, not of the server'],
  [`shared/${SERVER}/vendor/deltachat/appversions`, 'appversions', 'GETMETADATA ""'],
  [`shared/${SERVER}/vendor/deltachat/appversion`, 'unknown', 'a shorter name'],
  [`priv/${GUID}/comment`, 'unknown', 'Dovecot unsets it with every mailbox'],
  [`priv/${GUID}/devicetoken/`, 'unknown', 'a longer key'],
  [`priv/${GUID}/devicetoken\n`, 'unknown', 'a line feed behind it'],
  [`priv/${GUID.slice(1)}/devicetoken`, 'unknown', 'a short GUID'],
  [`priv/${GUID.toUpperCase()}/devicetoken`, 'unknown', 'Dovecot writes GUIDs in lower case'],
  ['priv//devicetoken', 'unknown', 'no GUID'],
  ['shared/account', 'unknown', 'shared'],
  ['', 'unknown', 'empty'],
];

t.test('dict keys mean entries', async (t) => {
  for (const [key, entry, reason] of rows) t.equal(entryOf(Buffer.from(key)), entry, reason);
});

t.test('no key throws, and none but the known ones has a meaning', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => entryOf(Buffer.from(bytes)) === 'unknown'),
    { numRuns: 300 },
  );
  t.equal(entryOf(Buffer.alloc(1_000_000, 'p')), 'unknown', 'a long key costs nothing');
});
