import t from 'tap';
import { createIncomingStages } from '../src/incoming.ts';
import { AUTHENTIC, judge, type TestMessage } from './support/judge.ts';
import { armor, BOUNDARY, encryptedBytes, mimeBody } from './support/openpgp.ts';

const asked: string[] = [];
const policy = {
  async allowsCleartext({ text }: { text: string }) {
    asked.push(text);
    if (text.startsWith('broken')) throw new Error('disk');
    return text.startsWith('open');
  },
};
const receive = (message: TestMessage) =>
  judge(createIncomingStages(policy, AUTHENTIC), { sender: 'carol@example.org', ...message });

const FROM: [string, string] = ['From', 'Carol <carol@example.org>'];
const ENCRYPTED: [string, string] = [
  'Content-Type',
  `multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${BOUNDARY}"`,
];
const TEXT: [string, string] = ['Content-Type', 'text/plain'];

t.test('what may come in', async (t) => {
  const daemon: [string, string] = ['From', 'MAILER-DAEMON@example.org (Mail Delivery System)'];
  const auto: [string, string] = ['Auto-Submitted', 'auto-replied'];
  const report: [string, string] = ['Content-Type', 'multipart/report; report-type=delivery-status; boundary=b'];
  const rows: readonly [message: TestMessage, reason: string, why: string][] = [
    [{ header: [FROM, ENCRYPTED], body: mimeBody() }, 'encrypted', 'encrypted'],
    [
      {
        header: [FROM, ENCRYPTED],
        body: mimeBody({ second: armor(encryptedBytes(), { headers: ['Version: GnuPG'] }) }),
      },
      'encrypted',
      'armor header',
    ],
    [{ header: [FROM, TEXT], body: 'hi' }, 'content_type_wrong', 'clear text'],
    [
      { header: [FROM, TEXT], body: 'hi', recipients: ['open@relay.test'] },
      'cleartext_allowed',
      'clear text to one who allows it',
    ],
    [
      { header: [FROM, TEXT], body: 'hi', recipients: ['open@relay.test', 'bob@relay.test'] },
      'content_type_wrong',
      'all must allow it',
    ],
    [
      { header: [FROM, TEXT], body: 'hi', recipients: ['open1@relay.test', 'open2@relay.test'] },
      'cleartext_allowed',
      'all allow it',
    ],
    [
      { header: [FROM, TEXT], body: 'hi', recipients: ['open@relay.test', 'not an address'] },
      'content_type_wrong',
      'a recipient that is none',
    ],
    [{ header: [FROM, TEXT], body: 'hi', recipients: ['../open@relay.test'] }, 'content_type_wrong', 'a path'],
    [{ header: [FROM, TEXT], body: 'hi', recipients: [] }, 'content_type_wrong', 'nobody'],
    [{ header: [daemon, auto, report], body: '', sender: '' }, 'mailer_daemon', 'a bounce'],
    [{ header: [daemon, report], body: '', sender: '' }, 'content_type_wrong', 'a bounce without Auto-Submitted'],
    [{ header: [daemon, ['Auto-Submitted', 'no'], report], body: '' }, 'content_type_wrong', 'not automatic, it says'],
    [{ header: [daemon, auto, auto, report], body: '' }, 'content_type_wrong', 'Auto-Submitted twice'],
    [{ header: [daemon, auto, TEXT], body: '' }, 'content_type_wrong', 'a bounce that is text'],
    [{ header: [FROM, auto, report], body: '' }, 'content_type_wrong', 'a report by somebody else'],
    [
      { header: [['From', 'mailer-daemon-x@example.org'], auto, report], body: '' },
      'content_type_wrong',
      'almost mailer-daemon',
    ],
    [{ header: [daemon, auto, report, report], body: '' }, 'content_type_repeated', 'two types'],
    [{ header: [FROM, FROM, ENCRYPTED], body: mimeBody() }, 'from_repeated', 'two From fields'],
    [{ header: [ENCRYPTED], body: mimeBody() }, 'from_missing', 'no From field'],
    [{ header: [['From', 'a@x.org, b@x.org'], ENCRYPTED], body: mimeBody() }, 'from_not_one_address', 'two authors'],
    [
      { header: [FROM, FROM, TEXT], body: '', recipients: ['open@relay.test'] },
      'from_repeated',
      'two From fields, clear text allowed',
    ],
  ];
  for (const [message, reason, why] of rows) t.equal((await receive(message)).verdict.reason, reason, why);
});

t.test('recipients are looked up only for clear text, and no further than needed', async (t) => {
  asked.length = 0;
  await receive({ header: [FROM, ENCRYPTED], body: mimeBody() });
  t.same(asked, [], 'not for encrypted mail');
  await receive({
    header: [FROM, TEXT],
    body: '',
    recipients: ['open@relay.test', 'bob@relay.test', 'carol@relay.test'],
  });
  t.same(asked, ['open@relay.test', 'bob@relay.test'], 'until the first that does not allow it');
});

t.test('a look-up that fails is not a yes', async (t) => {
  await t.rejects(receive({ header: [FROM, TEXT], body: '', recipients: ['broken@relay.test'] }));
});

t.test('return path', async (t) => {
  const rows: readonly [sender: string, edits: unknown[], why: string][] = [
    ['carol@example.org', [], "the author's"],
    ['Carol@Example.ORG', [], "the author's, in capitals"],
    ['', [], 'none already'],
    ['bounces@lists.example', [{ edit: 'changeSender', sender: '<>' }], "another's: bounces would go to a stranger"],
    ['not an address', [{ edit: 'changeSender', sender: '<>' }], 'none that can be compared'],
  ];
  for (const [sender, edits, why] of rows) {
    t.same((await receive({ header: [FROM, ENCRYPTED], body: mimeBody(), sender })).edits, edits, why);
  }
});
