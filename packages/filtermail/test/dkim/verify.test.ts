import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { ED25519, MemoryKeys, makeRsaKey, NOW, RSA, signed, splitMessage, verifyMessage } from '../support/dkim.ts';

const MESSAGE =
  'From: Carol <carol@example.org>\r\nTo: bob@relay.test\r\nSubject: [...]\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n' +
  'Message-ID: <1@example.org>\r\n\r\nOne line.\r\n\r\nAnother  line.\r\n';
const RSA_NAME = 'rsa._domainkey.example.org';
const ED_NAME = 'ed._domainkey.example.org';
const rsaKey = { selector: 'rsa', key: RSA.privateKey };
const edKey = { selector: 'ed', key: ED25519.privateKey };
const zone = { [RSA_NAME]: RSA.record, [ED_NAME]: ED25519.record };
const keys = () => new MemoryKeys(zone);
const SIGNED = signed(MESSAGE, rsaKey);

/** The message with some tags of its signature changed, which then is not valid any more. */
const retagged = (from: RegExp, to: string) => {
  const changed = SIGNED.replace(from, to);
  if (changed === SIGNED) throw new Error('nothing changed');
  return changed;
};

t.test('outcomes', async (t) => {
  const otherDomain = signed(MESSAGE, rsaKey, 'sub.example.org');
  const oldNow = NOW - 1000;
  const rows: readonly [message: string, outcome: string, why: string, zone?: Record<string, string | string[]>][] = [
    [SIGNED, 'pass', 'RSA'],
    [signed(MESSAGE, edKey), 'pass', 'Ed25519'],
    [signed(SIGNED, edKey), 'pass', 'both'],
    [signed(signed(MESSAGE, { ...rsaKey, selector: 'gone' }), edKey), 'pass', 'one whose key is gone, and a good one'],
    [signed(otherDomain, rsaKey), 'pass', "another's besides"],
    [MESSAGE, 'none', 'not signed'],
    [otherDomain, 'unaligned', 'a subdomain is another domain'],
    [signed(MESSAGE, rsaKey, 'org'), 'unaligned', 'so is a parent'],
    [SIGNED.replace(/d=[^;]+/, 'd=?'), 'unaligned', 'by nobody'],
    [SIGNED.replace('One', 'Two'), 'dkim_body_changed', 'body changed'],
    [`${SIGNED}More.\r\n`, 'dkim_body_changed', 'body appended to'],
    [SIGNED.replace('Carol', 'Carola'), 'dkim_signature_wrong', 'From changed'],
    [SIGNED.replace('\r\nDate', '\r\nX: y\r\nDate'), 'pass', 'a field that is not signed was added'],
    [SIGNED.replace('\r\nDate', '\r\nSubject: x\r\nDate'), 'dkim_signature_wrong', 'a second Subject, over-signed'],
    [SIGNED.replace('\r\nDate', '\r\nCc: x@example.net\r\nDate'), 'dkim_signature_wrong', 'a Cc, over-signed'],
    [retagged(/v=1/, 'v=1; l=5'), 'dkim_body_length', 'l='],
    [retagged(/h=[^;]+/, 'h=to:date'), 'dkim_from_unsigned', 'From not signed'],
    [retagged(/rsa-sha256/, 'rsa-sha1'), 'dkim_algorithm', 'SHA-1'],
    [retagged(/; b=[\s\S]*?\r\nFrom/, '\r\nFrom'), 'dkim_malformed', 'no b='],
    [retagged(/t=\d+/, `t=${NOW + 301}`), 'dkim_future', 'from the future'],
    [retagged(/t=\d+/, `t=${NOW + 299}`), 'dkim_signature_wrong', 'a clock that is fast is forgiven'],
    [retagged(/t=\d+/, `t=${oldNow}; x=${NOW - 301}`), 'dkim_expired', 'expired'],
    [retagged(/t=\d+/, `t=${oldNow}; x=${NOW - 299}`), 'dkim_signature_wrong', 'a clock that is slow is forgiven'],
    [SIGNED, 'key_missing', 'no key', {}],
    [SIGNED, 'key_missing', 'only SPF at the name', { [RSA_NAME]: 'v=spf1 -all' }],
    [SIGNED, 'dkim_key_revoked', 'a revoked key', { [RSA_NAME]: 'v=DKIM1; p=' }],
    [SIGNED, 'dkim_signature_wrong', 'the key of another', { [RSA_NAME]: makeRsaKey(1024).record }],
    [SIGNED, 'dkim_key_not_for_this', 'a key of another type', { [RSA_NAME]: ED25519.record }],
    [SIGNED, 'pass', 'the third of three records', { [RSA_NAME]: ['v=spf1', 'v=DKIM1; p=', RSA.record] }],
    [SIGNED, 'key_missing', 'the fourth record is not read', { [RSA_NAME]: ['a', 'b', 'c', RSA.record] }],
    [SIGNED, 'temporary', 'DNS out of order', { [RSA_NAME]: 'temporary' }],
    [
      signed(SIGNED, edKey),
      'temporary',
      'one wrong, one out of reach',
      { [ED_NAME]: 'temporary', [RSA_NAME]: ED25519.record },
    ],
    [
      signed(SIGNED, edKey),
      'pass',
      'one out of reach, the other good',
      { [ED_NAME]: 'temporary', [RSA_NAME]: RSA.record },
    ],
    [signed(SIGNED, edKey), 'dkim_signature_wrong', 'no key, and a wrong one', { [RSA_NAME]: makeRsaKey(1024).record }],
  ];
  for (const [message, outcome, why, records] of rows) {
    t.equal(await verifyMessage(message, new MemoryKeys(records ?? zone)), outcome, why);
  }
});

t.test('weak keys do not count, 1024 bits do', async (t) => {
  for (const [bits, outcome] of [
    [1016, 'dkim_key_weak'],
    [1024, 'pass'],
  ] as const) {
    const key = makeRsaKey(bits);
    const message = signed(MESSAGE, { selector: 'rsa', key: key.privateKey });
    t.equal(await verifyMessage(message, new MemoryKeys({ [RSA_NAME]: key.record })), outcome, `${bits} bits`);
  }
});

t.test('t=s: the identity must be the domain', async (t) => {
  const strict = new MemoryKeys({ [RSA_NAME]: `${RSA.record}; t=s` });
  t.equal(await verifyMessage(SIGNED, strict), 'pass', 'no identity');
  t.equal(
    await verifyMessage(retagged(/d=example.org/, 'd=example.org; i=@a.example.org'), strict),
    'dkim_key_not_for_this',
  );
});

t.test('internationalised domains', async (t) => {
  const ascii = 'xn--mnchen-3ya.example';
  const store = new MemoryKeys({ [`rsa._domainkey.${ascii}`]: RSA.record });
  t.equal(await verifyMessage(signed(MESSAGE, rsaKey, ascii), store, { domain: ascii }), 'pass');
});

t.test('DNS is asked for no more than needed', async (t) => {
  const asked = async (message: string) => {
    const store = keys();
    await verifyMessage(message, store);
    return store.asked;
  };
  t.same(await asked(MESSAGE), [], 'not signed');
  t.same(await asked(signed(MESSAGE, rsaKey, 'example.net')), [], 'signed by others');
  t.same(await asked(SIGNED.replace('One', 'Two')), [], 'body changed');
  t.same(await asked(signed(SIGNED, edKey)), [ED_NAME], 'until the first that is good');
  t.same(await asked(SIGNED.replace('Carol', 'Carola')), [RSA_NAME], 'a fresh key is not asked for again');
  let many = MESSAGE;
  for (let i = 0; i < 30; i++) many = signed(many, { ...edKey, selector: `s${i}` });
  t.equal((await asked(many)).length, 5, 'a bound on signatures');
});

t.test('a key remembered from earlier may have been replaced', async (t) => {
  const store = keys();
  store.cached.set(RSA_NAME, [makeRsaKey(1024).record]);
  t.equal(await verifyMessage(SIGNED, store), 'pass');
  t.same(store.asked, [RSA_NAME, `fresh ${RSA_NAME}`]);

  const wrong = keys();
  wrong.cached.set(RSA_NAME, [RSA.record]);
  t.equal(await verifyMessage(SIGNED.replace('Carol', 'Carola'), wrong), 'dkim_signature_wrong', 'twice is enough');
  t.equal(wrong.asked.length, 2);

  const down = new MemoryKeys({ [RSA_NAME]: 'temporary' });
  down.cached.set(RSA_NAME, ['v=DKIM1; p=']);
  t.equal(await verifyMessage(SIGNED, down), 'temporary', 'no refusal on the word of an old key');
  down.cached.set(RSA_NAME, [RSA.record]);
  t.equal(await verifyMessage(SIGNED, down), 'pass', 'and none at all with a good one');
});

t.test('examples of the RFCs', async (t) => {
  const read = (name: string) => {
    const text = readFileSync(new URL(`./examples/${name}`, import.meta.url), 'latin1');
    return text.replaceAll(/\r?\n/g, '\r\n');
  };
  const rfc8463 = read('rfc8463.eml');
  const zone8463 = new MemoryKeys({
    'brisbane._domainkey.football.example.com': 'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
    'test._domainkey.football.example.com':
      'v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi' +
      'Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kr' +
      'yOTIKT+l/K4w3QIDAQAB',
  });
  const options = { domain: 'football.example.com' };
  t.equal(await verifyMessage(rfc8463, zone8463, options), 'pass', 'RFC 8463 A.3, Ed25519');
  zone8463.records.delete('brisbane._domainkey.football.example.com');
  t.equal(await verifyMessage(rfc8463, zone8463, options), 'pass', 'RFC 8463 A.3, RSA');
  zone8463.records.clear();
  t.equal(await verifyMessage(rfc8463, zone8463, options), 'key_missing');

  const zone6376 = new MemoryKeys({
    'brisbane._domainkey.example.com':
      'v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v' +
      '3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUY' +
      'ckcQ2QIDAQAB',
  });
  t.equal(
    await verifyMessage(read('rfc6376.eml'), zone6376, { domain: 'example.com' }),
    'pass',
    'RFC 6376 A.2, simple',
  );
});

t.test('chunking changes nothing', async (t) => {
  for (const chunk of [1, 2, 3, 7])
    t.equal(await verifyMessage(SIGNED, keys(), { chunk }), 'pass', `chunks of ${chunk}`);
});

t.test('mutations: whatever byte is changed, the message is refused or means the same', async (t) => {
  const { body } = splitMessage(SIGNED);
  const relaxed = (text: string) =>
    text
      .replace(/[ \t]+/g, ' ')
      .replace(/ (?=\r\n|$)/g, '')
      .replace(/(?:\r\n)*$/, '');
  /** What is signed, in a form in which equal means equal: names, unfolded values, body. */
  const meaning = (text: string) => {
    const { fields, body } = splitMessage(text);
    const names = /^(?:from|to|cc|subject|date|reply-to|in-reply-to|references|autocrypt|content-type|message-id)$/;
    const header = fields
      .filter(({ name }) => names.test(name))
      .map(({ name, rawValue }) => `${name}:${rawValue.replace(/[ \t\n\r]+/g, ' ').replace(/^ | $/g, '')}`);
    return JSON.stringify([header, relaxed(body.toString('latin1'))]);
  };
  const mutation = fc.record({
    kind: fc.constantFrom('flip', 'insert', 'delete', 'truncate'),
    at: fc.nat(SIGNED.length - 1),
    byte: fc.integer({ min: 1, max: 255 }),
  });
  const unchanged = meaning(SIGNED);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(mutation, async ({ kind, at, byte }) => {
      const char = String.fromCharCode(kind === 'flip' ? SIGNED.charCodeAt(at) ^ byte : byte);
      const tail = kind === 'insert' ? SIGNED.slice(at) : SIGNED.slice(at + 1);
      const mutant =
        kind === 'truncate' ? SIGNED.slice(0, at) : SIGNED.slice(0, at) + (kind === 'delete' ? '' : char) + tail;
      const outcome = await verifyMessage(mutant, keys());
      if (outcome !== 'pass') refused++;
      return outcome !== 'pass' || meaning(mutant) === unchanged;
    }),
    { numRuns: 1500 },
  );
  t.ok(refused > 1000 && body.length > 0, `${refused} refused`);
});
