import t from 'tap';
import { FromStage } from '../src/from-stage.ts';
import { HeaderHygiene, type HeaderPolicy } from '../src/header-hygiene.ts';
import type { AcceptCode } from '../src/verdict.ts';
import { judge, type TestMessage } from './support/judge.ts';

type Header = TestMessage['header'];

interface Options {
  readonly acceptedAs?: AcceptCode;
}

const FROM = ['From', '<alice@relay.test>'] as const;

async function edits(
  fields: Header,
  policy: HeaderPolicy = 'minimal',
  { acceptedAs = 'encrypted' }: Options = {},
): Promise<string[]> {
  const mark = {
    decide(transaction: { acceptedAs: AcceptCode }) {
      transaction.acceptedAs = acceptedAs;
      return undefined;
    },
  };
  const header = fields.some(([name]) => name === 'From') ? fields : [FROM, ...fields];
  const { edits } = await judge([new FromStage(), mark, new HeaderHygiene(policy)], { header, body: '' });
  return edits.map((edit) => {
    if (edit.edit === 'changeHeader') return `${edit.name}=${edit.value}`;
    return edit.edit === 'deleteHeader' ? `-${edit.name}#${edit.index}` : edit.edit;
  });
}

const DELTA_CHAT: Header = [
  ['Content-Type', 'multipart/encrypted'],
  ['MIME-Version', '1.0'],
  FROM,
  ['To', '"hidden-recipients": ;'],
  ['Subject', '[...]'],
  ['Date', 'Mon, 1 Jan 2024 00:00:00 +0000'],
  ['Message-ID', '<2c3fef3e-4223-484c-b7d9-d32abcca92ce@localhost>'],
  ['Chat-Version', '1.0'],
  ['Chat-Is-Post-Message', '1'],
];

t.test('which fields leave', async (t) => {
  const rows: readonly [header: Header, minimal: string[], compat: string[], why: string][] = [
    [DELTA_CHAT, [], [], 'Delta Chat sends nothing that must go'],
    [[['Subject', 'noon']], ['Subject=[...]'], ['Subject=[...]'], 'a subject'],
    [[['SUBJECT', '']], ['SUBJECT=[...]'], ['SUBJECT=[...]'], 'an empty one, in capitals'],
    [
      [
        ['Subject', 'noon'],
        ['Subject', 'clock'],
      ],
      ['Subject=[...]', '-Subject#2'],
      ['Subject=[...]', '-Subject#2'],
      'two',
    ],
    [
      [
        ['User-Agent', 'x'],
        ['X-Mailer', 'y'],
      ],
      ['-X-Mailer#1', '-User-Agent#1'],
      ['-X-Mailer#1', '-User-Agent#1'],
      'the program',
    ],
    [[['X-Originating-IP', '[192.0.2.1]']], ['-X-Originating-IP#1'], ['-X-Originating-IP#1'], 'the network'],
    [
      [
        ['Received', 'a'],
        ['Received', 'b'],
      ],
      ['-Received#2', '-Received#1'],
      ['-Received#2', '-Received#1'],
      'the way, last one first',
    ],
    [
      [
        ['In-Reply-To', '<1@x>'],
        ['X-Note', 'noon'],
      ],
      ['-X-Note#1', '-In-Reply-To#1'],
      [],
      'what is not needed',
    ],
    [[['Cc', '<bob@relay.test>']], ['-Cc#1'], [], 'who else gets it'],
    [[['Content-Disposition', 'inline; filename=noon']], ['-Content-Disposition#1'], [], 'a name for the whole'],
    [
      [
        [`${'L'.repeat(210)}1`, 'meet me'],
        [`${'L'.repeat(210)}2`, 'at noon'],
      ],
      [`-${'L'.repeat(210)}2#1`, `-${'L'.repeat(210)}1#1`],
      [],
      'long names that begin alike',
    ],
    [
      [
        ['Chat-Version', '1.0'],
        ['Chat-Version', '1.0'],
        ['Chat-Version', 'noon'],
      ],
      ['-Chat-Version#3', '-Chat-Version#2'],
      [],
      'one of each is enough',
    ],
    [
      [
        ['Chat-Version', 'noon'],
        ['Chat-Version', '1.0'],
      ],
      ['-Chat-Version#2', '-Chat-Version#1'],
      [],
      'and it is the first',
    ],
    [[['Secure-Join', 'vc-request']], ['-Secure-Join#1'], [], 'key exchange that is encrypted needs no field outside'],
  ];
  for (const [header, minimal, compat, why] of rows) {
    t.same(await edits(header, 'minimal'), minimal, `${why}, minimal`);
    t.same(await edits(header, 'compat'), compat, `${why}, compat`);
  }
});

t.test('in what shape', async (t) => {
  const date = (value: string): Header => [['Date', value]];
  const id = (value: string): Header => [['Message-ID', value]];
  const rows: readonly [header: Header, minimal: string[], why: string][] = [
    [[['From', 'Alice Example <alice@relay.test>']], ['From=<alice@relay.test>'], 'a name'],
    [[['From', 'alice@relay.test (at noon)']], ['From=<alice@relay.test>'], 'a comment'],
    [[['From', '<Alice@Relay.test>']], [], 'capitals say nothing'],
    [[['To', 'Bob <bob@relay.test>, carol@relay.test']], ['To="hidden-recipients": ;'], 'the recipients'],
    [[['To', '"meet me at noon": ;']], ['To="hidden-recipients": ;'], 'a text as the name of a group'],
    [date('Mon, 01 Jan 2024 01:30:00 +0530'), ['Date=Sun, 31 Dec 2023 20:00:00 +0000'], 'a time zone'],
    [date('Mon, 1 Jan 2024 10:00:00 +0000 (at noon)'), ['Date=Mon, 01 Jan 2024 10:00:00 +0000'], 'a comment'],
    [date('1 Jan 2024 23:59 -0100'), ['Date=Tue, 02 Jan 2024 00:59:00 +0000'], 'no weekday, no seconds'],
    [date('Mon, 1 Jan 2024 10:00:00 GMT'), ['Date=Mon, 01 Jan 2024 10:00:00 +0000'], 'a zone by its name'],
    [date('Mon, 1 Jan 2024 10:00:00 PDT'), ['Date=Mon, 01 Jan 2024 17:00:00 +0000'], 'one that is not UTC'],
    [date('Mon, 1 Jan 2024 10:00:00 CEST'), ['Date=Mon, 01 Jan 2024 10:00:00 +0000'], 'a name nobody agrees on'],
    [date('1 Nox 2024 23:59 -0100'), ['-Date#1'], 'no month'],
    [date('at noon'), ['-Date#1'], 'no date'],
    [id('<Gr.abc.1234@relay.test>'), [], 'an id'],
    [id('<abc@[127.0.0.1]>'), [], 'of an IP relay'],
    [id('<meet me at@noon>'), ['-Message-ID#1'], 'a text as id'],
    [id('<1@x> (at noon)'), ['-Message-ID#1'], 'a comment'],
    [id(`<${'noon.'.repeat(50)}@x>`), ['-Message-ID#1'], 'a long one'],
    [[['MIME-Version', '1.0 (Apple Mail 16.0)']], ['MIME-Version=1.0'], 'the program in a comment'],
    [[['Content-Transfer-Encoding', '7bit']], [], '7bit'],
    [[['Content-Transfer-Encoding', 'noon']], ['-Content-Transfer-Encoding#1'], 'no encoding'],
    [[['Auto-Submitted', 'auto-generated']], [], 'an automatic message'],
    [[['Auto-Submitted', 'auto-generated; at=noon']], ['-Auto-Submitted#1'], 'that says more'],
    [[['Chat-Version', '1.0; at noon']], ['-Chat-Version#1'], 'no version'],
    [[['Chat-Is-Post-Message', 'noon']], ['-Chat-Is-Post-Message#1'], 'not 1'],
    [[['Chat-Version', `1.0${' '.repeat(40_000)}`]], ['-Chat-Version#1'], 'a long value'],
  ];
  for (const [header, minimal, why] of rows) t.same(await edits(header), minimal, why);
});

t.test('clear text that may leave', async (t) => {
  const request: Header = [
    ['To', '<bob@relay.test>'],
    ['Secure-Join', 'vc-request'],
    ['Secure-Join-Invitenumber', '7xbgCG86qAz4bVhrQWFydx3d'],
    ['References', '<1@x>'],
  ];
  const securejoin: Options = { acceptedAs: 'securejoin' };
  t.same(
    await edits(request, 'minimal', securejoin),
    ['To="hidden-recipients": ;', '-References#1'],
    'a request of an older Delta Chat',
  );
  const rows: readonly [header: Header, options: Options, minimal: string[], why: string][] = [
    [[['Secure-Join-Invitenumber', 'meet at noon']], securejoin, ['-Secure-Join-Invitenumber#1'], 'a text as number'],
    [[['Secure-Join-Group', 'noon']], securejoin, ['-Secure-Join-Group#1'], 'a field of later, encrypted steps'],
    [[['Autocrypt', 'addr=bob@relay.test; keydata=bm9vbg==']], securejoin, ['-Autocrypt#1'], "somebody else's key"],
    [[['Autocrypt-Setup-Message', 'v1']], { acceptedAs: 'setup_message' }, [], 'a setup message'],
    [[['Autocrypt-Setup-Message', 'noon']], { acceptedAs: 'setup_message' }, ['-Autocrypt-Setup-Message#1'], 'not v1'],
    [[['Subject', 'Autocrypt Setup Message']], { acceptedAs: 'setup_message' }, [], 'keeps its subject'],
  ];
  for (const [header, options, minimal, why] of rows) t.same(await edits(header, 'minimal', options), minimal, why);
});
