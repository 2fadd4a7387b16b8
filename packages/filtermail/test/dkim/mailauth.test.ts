/** Against mailauth, another implementation of DKIM, both ways: our signatures there, its signatures here, any message, any form. */

import fc from 'fast-check';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import t from 'tap';
import { ED25519, MemoryKeys, NOW, RSA, signed, type TestKey, verifyMessage } from '../support/dkim.ts';

type SignOptions = Parameters<typeof dkimSign>[1];

const DOMAIN = 'example.org';
const KEYS: Readonly<Record<string, TestKey>> = { rsa: RSA, ed25519: ED25519 };
const zone = Object.fromEntries(
  Object.entries(KEYS).map(([name, { record }]) => [`${name}._domainkey.${DOMAIN}`, record]),
);
const keys = new MemoryKeys(zone);

async function mailauthVerifies(message: string): Promise<string> {
  const result = await dkimVerify(Buffer.from(message, 'latin1'), {
    curTime: new Date(NOW * 1000),
    resolver: async (name: string) => {
      const record = zone[name];
      if (record === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      return [[record]];
    },
  });
  return result.results.map(({ status }) => status.result).join();
}

async function mailauthSigns(message: string, selector: string, canonicalization: string): Promise<string> {
  const options = {
    canonicalization,
    algorithm: `${selector}-sha256`,
    signTime: new Date(NOW * 1000),
    signatureData: [
      {
        signingDomain: DOMAIN,
        selector,
        privateKey: KEYS[selector]!.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      },
    ],
  };
  // Its types ask for one key outside of the list too; with both it would sign twice.
  const { signatures, errors } = await dkimSign(Buffer.from(message, 'latin1'), options as unknown as SignOptions);
  if (errors.length > 0 || signatures === '') throw new Error(`mailauth did not sign: ${errors.map(({ err }) => err)}`);
  return signatures + message;
}

const blanks = fc.constantFrom('', ' ', '  ', '\t', ' \r\n ', ' \r\n\t');
const words = fc.constantFrom(
  'a',
  'Subject:',
  '=',
  ';',
  'b=',
  '\xc3\xa0',
  '<x@example.org>',
  '"',
  '(c)',
  'x'.repeat(80),
);
const fieldValue = fc.array(fc.tuple(words, blanks), { minLength: 1, maxLength: 6 }).map((parts) =>
  parts
    .map(([word, blank]) => word + blank)
    .join('')
    .replace(/[ \t]*\r\n[ \t]*$/, ''),
);
const field = fc.tuple(
  fc.constantFrom('To', 'Subject', 'subject', 'Date', 'Chat-Version', 'X-Other', 'References'),
  fieldValue,
);
const line = fc.array(fc.tuple(words, fc.constantFrom('', ' ', '  ', '\t')), { maxLength: 5 });
const body = fc
  .array(line, { maxLength: 8 })
  .map((lines) => lines.map((parts) => `${parts.map(([word, blank]) => word + blank).join('')}\r\n`).join(''));
const message = fc
  .tuple(fc.array(field, { maxLength: 6 }), body)
  .map(
    ([fields, text]) =>
      `From: Carol <carol@${DOMAIN}>\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${text}`,
  );

t.test('what we sign verifies there, and here', async (t) => {
  for (const selector of ['rsa', 'ed25519']) {
    const key = { selector, key: KEYS[selector]!.privateKey };
    await fc.assert(
      fc.asyncProperty(message, async (text) => {
        const ours = signed(text, key);
        return (await mailauthVerifies(ours)) === 'pass' && (await verifyMessage(ours, keys)) === 'pass';
      }),
      { numRuns: 60 },
    );
    t.pass(selector);
  }
  const both = signed(signed('From: carol@example.org\r\n\r\nx\r\n', { selector: 'rsa', key: RSA.privateKey }), {
    selector: 'ed25519',
    key: ED25519.privateKey,
  });
  t.equal(await mailauthVerifies(both), 'pass,pass', 'two signatures on one message');
});

t.test('what is signed there verifies here, in every form', async (t) => {
  for (const selector of ['rsa', 'ed25519']) {
    for (const form of ['relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple']) {
      await fc.assert(
        fc.asyncProperty(message, fc.constantFrom(0, 1, 5), async (text, chunk) => {
          return (await verifyMessage(await mailauthSigns(text, selector, form), keys, { chunk })) === 'pass';
        }),
        { numRuns: 30 },
      );
      t.pass(`${selector}, ${form}`);
    }
  }
});

t.test('what was changed on the way is judged alike', async (t) => {
  const original = signed(
    'From: carol@example.org\r\nTo: a@relay.test\r\nSubject: two  words\r\n\r\nSome words.\r\nMore words.\r\n',
    { selector: 'rsa', key: RSA.privateKey },
  );
  const headerEnd = original.indexOf('\r\nFrom:');
  // Inside the signature field itself we are stricter; tables of ours say where.
  const place = fc.integer({ min: headerEnd + 8, max: original.length - 1 });
  let passed = 0;
  let failed = 0;
  await fc.assert(
    fc.asyncProperty(place, fc.constantFrom(' ', '\t', 'x', '', '\r\n'), async (at, text) => {
      const changed = original.slice(0, at) + text + original.slice(at + (text === 'x' || text === '' ? 1 : 0));
      // What the MTA never hands on, or another stage refuses: lone CR and LF, lines that are no fields, two From fields.
      const isInHeader = at < original.indexOf('\r\n\r\n') + 4;
      if (/[\r\n]/.test(original[at]!) || (text === '\r\n' && isInHeader)) return true;
      if ((changed.match(/^From:/gim) ?? []).length !== 1) return true;
      const ours = (await verifyMessage(changed, keys)) === 'pass';
      if (ours) passed++;
      else failed++;
      return ours === ((await mailauthVerifies(changed)) === 'pass');
    }),
    { numRuns: 400 },
  );
  // One in fifteen passes: what touches only blanks.
  t.ok(passed > 3 && failed > 20, `${passed} passed, ${failed} did not`);
});
