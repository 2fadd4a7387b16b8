/**
 * The milter library against `miltertest` (OpenDKIM's own MTA side, Debian package miltertest), an implementation that has
 * nothing in common with Postfix or with our test MTA. Its negotiate() sends actions and steps swapped against its manual; sending an event that was switched off is an error of the script.
 */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { type EndOfMessageAnswer, MilterServer, SMFIF_ADDHDRS, SMFIF_CHGHDRS, SMFIF_QUARANTINE } from '#milter';
import { aptInstall } from './debian13.ts';

t.setTimeout(120_000);
if (!existsSync('/usr/bin/miltertest')) await aptInstall('miltertest');

/** Fails the script, and with it miltertest's exit status, naming the step. */
const SCRIPT = `
function check(ok, step) if not ok then print("failed: " .. step) error(step) end end
function start(conn)
  check(mt.negotiate(conn, 6, 0x1fffff, 0x1ff) == nil, "negotiate")
  check(mt.conninfo(conn, "client.test", "192.0.2.1") == nil, "conninfo")
end
function message(conn, subject)
  mt.macro(conn, SMFIC_MAIL, "i", "QUEUEID")
  check(mt.mailfrom(conn, "<a@relay.test>", "SIZE=5") == nil, "mailfrom")
  mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", subject .. "@relay.test")
  check(mt.rcptto(conn, "<b@relay.test>") == nil, "rcptto")
  mt.header(conn, "From", "<a@relay.test>")
  mt.header(conn, "Subject", subject)
  check(mt.bodystring(conn, "some\\r\\nbody\\r\\n") == nil, "body")
  check(mt.eom(conn) == nil, "eom")
end

conn = mt.connect("unix:" .. socket)
check(conn ~= nil, "connect")
start(conn)
message(conn, "edited")
check(mt.getreply(conn) == SMFIR_ACCEPT, "accepted")
check(mt.eom_check(conn, MT_HDRCHANGE, "Subject", "[...]"), "subject changed")
check(mt.eom_check(conn, MT_HDRADD, "X-Seen", "edited@relay.test 12"), "header added with macro and body length")
check(not mt.eom_check(conn, MT_QUARANTINE), "not quarantined")
mt.abort(conn)
message(conn, "refused")
check(mt.getreply(conn) == SMFIR_REPLYCODE, "refused")
check(mt.eom_check(conn, MT_SMTPREPLY, "523", "5.7.1", "Encryption Needed"), "reply code")
mt.abort(conn)
message(conn, "broken")
check(mt.getreply(conn) == SMFIR_REPLYCODE, "broken")
check(mt.eom_check(conn, MT_SMTPREPLY, "451", "4.3.0", "Temporary failure, try again later"), "tempfail")
mt.abort(conn)
message(conn, "held")
check(mt.eom_check(conn, MT_QUARANTINE, "look at it"), "quarantined")
mt.disconnect(conn)
`;

t.test('miltertest', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'miltertest-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const failures: string[] = [];
  const milter = new MilterServer({
    events: { connect: 'notify', mail: 'notify', recipient: 'notify', header: 'notify', body: 'notify' },
    actions: SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_QUARANTINE,
    onError: (error, { queueId }) => failures.push(`${queueId}: ${error.message}`),
    handler: ({ macros }) => {
      let subject = '';
      let recipient = '';
      let length = 0;
      return {
        mail() {
          length = 0;
        },
        recipient() {
          recipient = macros.get('{rcpt_addr}') ?? '';
        },
        header(name, value) {
          if (name === 'Subject') subject = value;
        },
        body(piece) {
          length += piece.length;
        },
        async endOfMessage(): Promise<EndOfMessageAnswer> {
          if (subject === 'refused') {
            return { verdict: 'reject', reply: { code: 523, enhanced: '5.7.1', text: 'Encryption Needed' } };
          }
          if (subject === 'broken') throw new Error('broken on purpose');
          if (subject === 'held') return { verdict: 'accept', edits: [{ edit: 'quarantine', reason: 'look at it' }] };
          return {
            verdict: 'accept',
            edits: [
              { edit: 'changeHeader', name: 'Subject', index: 1, value: '[...]' },
              { edit: 'addHeader', name: 'X-Seen', value: `${recipient} ${length}` },
            ],
          };
        },
      };
    },
  });
  const socket = join(directory, 'milter.sock');
  milter.server.listen(socket);
  await once(milter.server, 'listening');
  const script = join(directory, 'script.lua');
  writeFileSync(script, SCRIPT);
  const run = promisify(execFile)('miltertest', ['-D', `socket=${socket}`, '-s', script], { timeout: 20_000 });
  await t.resolves(run);
  t.strictSame(failures, ['QUEUEID: broken on purpose']);
  await milter.drain(1000);
});
