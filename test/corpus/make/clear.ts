/** Mail that is not encrypted: by people who do not know, by key exchange, by mail systems, and in somebody else's name. */

import { commonHeader, type Entry, GOOD, message, NOON, pgpMime, refused, TYPE } from './entry.ts';
import { securejoin } from './shapes.ts';

/** Mail that is not encrypted and says so. */
export function clearEntries(): Entry[] {
  const header = commonHeader();
  const clear = (type: string, body: string, ...more: string[]) =>
    message([...header, ...more, `Content-Type: ${type}`], body);
  const part = (text: string, type = 'text/plain') => `--b1\r\nContent-Type: ${type}\r\n\r\n${text}\r\n`;
  const request = part('Secure-Join: vc-request');
  const bounce = (from: string, ...more: string[]) =>
    message(
      [
        ...commonHeader(`From: ${from}`),
        ...more,
        'Content-Type: multipart/report; report-type=delivery-status; boundary=b1',
      ],
      `${part('No such user')}--b1--\r\n`,
    );
  const mailer = 'MAILER-DAEMON@example.org (Mail Delivery System)';
  const forged = { incoming: 'encrypted', outgoing: 'from_not_envelope' };
  return [
    refused('clear-text', 'content_type_wrong', 'plain text', clear('text/plain; charset=utf-8', NOON)),
    refused(
      'clear-html',
      'content_type_wrong',
      'text and HTML',
      clear('multipart/alternative; boundary=b1', `${part(NOON)}${part(`<p>${NOON}</p>`, 'text/html')}--b1--\r\n`),
    ),
    refused(
      'clear-inline-pgp',
      'content_type_wrong',
      'armor in a text: readers disagree on what is encrypted',
      clear('text/plain', GOOD),
    ),
    refused(
      'clear-signed',
      'content_type_wrong',
      'signed, not encrypted',
      clear(
        'multipart/signed; micalg=pgp-sha512; protocol="application/pgp-signature"; boundary=b1',
        `${part(NOON)}--b1--\r\n`,
      ),
    ),
    refused(
      'clear-smime',
      'content_type_wrong',
      'S/MIME',
      clear('application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m', 'AAAA\r\n'),
    ),
    refused(
      'clear-read-receipt',
      'content_type_wrong',
      'a read receipt in clear text',
      clear(
        'multipart/report; report-type=disposition-notification; boundary=b1',
        `${part('read')}--b1--\r\n`,
        'Auto-Submitted: auto-replied',
      ),
    ),
    refused(
      'clear-setup-message',
      'content_type_wrong',
      'an Autocrypt Setup Message to somebody else',
      clear('multipart/mixed; boundary=b1', `${part(NOON)}--b1--\r\n`, 'Autocrypt-Setup-Message: v1').replace(
        '[...]',
        'Autocrypt Setup Message',
      ),
    ),
    {
      name: 'securejoin-contact',
      outgoing: 'securejoin',
      incoming: 'securejoin',
      why: 'the first message of an older securejoin',
      text: securejoin(`${request}--b1--\r\n`),
    },
    {
      name: 'securejoin-group',
      outgoing: 'securejoin',
      incoming: 'securejoin',
      why: 'the same for a group',
      text: securejoin(`${part('Secure-Join: vg-request')}--b1--\r\n`, 'vg-request'),
    },
    refused(
      'securejoin-other-word',
      'securejoin_shape',
      'the header says another word',
      securejoin(`${request}--b1--\r\n`, 'vg-request'),
    ),
    refused(
      'securejoin-text',
      'securejoin_shape',
      'a text in a securejoin request',
      securejoin(`${part(`Secure-Join: vc-request\r\n${NOON}`)}--b1--\r\n`),
    ),
    refused(
      'securejoin-two-parts',
      'securejoin_shape',
      'a second part',
      securejoin(`${request}${part(NOON)}--b1--\r\n`),
    ),
    refused(
      'securejoin-html',
      'securejoin_shape',
      'HTML',
      securejoin(`${part('Secure-Join: vc-request', 'text/html')}--b1--\r\n`),
    ),
    refused(
      'securejoin-preamble',
      'preamble_text',
      'a text before the part',
      securejoin(`${NOON}\r\n${request}--b1--\r\n`),
    ),
    refused('securejoin-epilogue', 'epilogue_text', 'a text after the part', securejoin(`${request}--b1--\r\n${NOON}`)),
    refused(
      'securejoin-later',
      'content_type_wrong',
      'a later step in clear text',
      securejoin(`${request}--b1--\r\n`, 'vc-request-with-auth'),
    ),
    refused(
      'securejoin-plain',
      'content_type_wrong',
      'a request that is no multipart',
      securejoin('Secure-Join: vc-request\r\n', 'vc-request', 'text/plain'),
    ),
    {
      name: 'bounce',
      outgoing: 'from_not_envelope',
      incoming: 'mailer_daemon',
      why: 'a delivery report by Postfix',
      text: bounce(mailer, 'Auto-Submitted: auto-replied'),
    },
    {
      name: 'bounce-not-automatic',
      outgoing: 'from_not_envelope',
      incoming: 'content_type_wrong',
      why: 'a report that is not automatic',
      text: bounce(mailer, 'Auto-Submitted: no'),
    },
    {
      name: 'bounce-by-user',
      outgoing: 'from_not_envelope',
      incoming: 'content_type_wrong',
      why: 'a report by somebody else',
      text: bounce('Eve <eve@example.org>', 'Auto-Submitted: auto-replied'),
    },
    {
      ...forged,
      name: 'from-name',
      why: 'somebody else with the right name',
      text: pgpMime({}, [...commonHeader('From: "alice@relay.test" <eve@relay.test>'), TYPE]),
    },
    {
      ...forged,
      name: 'from-subdomain',
      why: 'a domain that begins alike',
      text: pgpMime({}, [...commonHeader('From: alice@relay.test.example.org'), TYPE]),
    },
    refused('from-missing', 'from_missing', 'no From', pgpMime({}, [...commonHeader().slice(1), TYPE])),
    refused(
      'from-two',
      'from_not_one_address',
      'two addresses',
      pgpMime({}, [...commonHeader('From: alice@relay.test, eve@relay.test'), TYPE]),
    ),
    refused(
      'from-group',
      'from_not_one_address',
      'a group',
      pgpMime({}, [...commonHeader('From: friends: alice@relay.test;'), TYPE]),
    ),
  ];
}
