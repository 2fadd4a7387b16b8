/**
 * [io] `chatmailctl token`: invitations, for relays with `registration = token`.
 */

import {
  type Config,
  createInvitation,
  EXIT_OK,
  ExitError,
  formatDcaccountUrl,
  type Invitation,
  invitationId,
  listInvitations,
  purgeInvitations,
  revokeInvitation,
  UsageError,
} from '#core';
import { renderQr } from '../accounts/qr.ts';
import { asOwnerOf, CONFIG_HELP, CONFIG_OPTION, openRelay } from '../accounts/relay-access.ts';
import { command, commandGroup, EXIT_CHECK_FAILED } from '../command.ts';

const DAY_SECONDS = 86_400;
const DEFAULT_DAYS = 7;

const create = command({
  usage: `usage: chatmailctl token create [--uses N] [--days N] [--json] [--no-qr]

Makes an invitation and prints its link and a QR code. The link is shown this once: what is kept cannot be turned back into it.

  --uses N                 accounts it is good for (default 1)
  --days N                 days it can be used (default ${DEFAULT_DAYS})
  --json                   print one JSON object and no QR code
  --no-qr                  print no QR code
${CONFIG_HELP}
`,
  options: {
    uses: { type: 'string' },
    days: { type: 'string' },
    json: { type: 'boolean' },
    'no-qr': { type: 'boolean' },
    ...CONFIG_OPTION,
  },
  words: [0, 0],
  async run(values, _words, { print, note }) {
    const uses = parseNumber('--uses', values.uses ?? '1', 100_000);
    const days = parseNumber('--days', values.days ?? String(DEFAULT_DAYS), 3650);
    const { config } = openRelay(values);
    const created = nowSeconds();
    const expires = created + days * DAY_SECONDS;
    const token = await asOwnerOf(config.state_dir, async () => {
      await purgeInvitations(config.state_dir, created);
      return await createInvitation(config.state_dir, { uses, created, expires });
    });
    const id = (await invitationId(token))!;
    const link = linkOf(config, token);
    if (config.registration !== 'token') {
      note(`registration = ${config.registration}: invitations count only with registration = token in chatmail.ini`);
    }
    if (values.json) {
      print(JSON.stringify({ id, token, link, uses, expires: isoTime(expires) }));
      return EXIT_OK;
    }
    print(`id:     ${id}`);
    print(`good:   for ${uses} ${uses === 1 ? 'account' : 'accounts'}, until ${isoTime(expires)}`);
    print(`link:   ${link}`);
    if (config.isSelfSigned) print(SELF_SIGNED_HINT);
    if (values['no-qr']) return EXIT_OK;
    print('');
    for (const line of renderQr(link, process.stdout.isTTY)) print(line);
    return EXIT_OK;
  },
});

const SELF_SIGNED_HINT =
  'Clients do not follow this link by themselves, because they cannot check the certificate. Opened in a browser it shows a\n' +
  'dclogin: link, which they take; or make the account yourself: chatmailctl new.';

/** Where clients cannot check the certificate they refuse `dcaccount:`, but a person can open the page. */
function linkOf(config: Config, token: string): string {
  const link = formatDcaccountUrl(config, token);
  return config.isSelfSigned ? link.replace(/^dcaccount:/, '') : link;
}

const list = command({
  usage: `usage: chatmailctl token list [--json]

Lists invitations, oldest first, and removes those that expired more than a week ago.

  --json                   print one JSON document
${CONFIG_HELP}
`,
  options: { json: { type: 'boolean' }, ...CONFIG_OPTION },
  words: [0, 0],
  async run(values, _words, { print, note }) {
    const { config } = openRelay(values);
    const now = nowSeconds();
    const all = await asOwnerOf(config.state_dir, async () => {
      await purgeInvitations(config.state_dir, now);
      return await listInvitations(config.state_dir, (id) =>
        note(`${id} is damaged and worth nothing; remove it: chatmailctl token revoke ${id}`),
      );
    });
    const invitations = all.filter(({ operator }) => !operator);
    if (values.json) {
      const rows = invitations.map(({ id, uses, used, created, expires, ...rest }) => ({
        ...{ id, uses, used, created: isoTime(created), expires: isoTime(expires) },
        state: stateOf({ id, uses, used, created, expires, ...rest }, now),
      }));
      print(JSON.stringify({ invitations: rows }));
      return EXIT_OK;
    }
    if (invitations.length === 0) note('there are no invitations');
    else print('ID                USED        EXPIRES               STATE');
    for (const invitation of invitations) {
      const used = `${invitation.used} of ${invitation.uses}`.padEnd(10);
      print(`${invitation.id}  ${used}  ${isoTime(invitation.expires)}  ${stateOf(invitation, now)}`);
    }
    return EXIT_OK;
  },
});

/** What an invitation is worth now. */
export function stateOf({ used, uses, expires }: Invitation, now: number): 'valid' | 'used up' | 'expired' {
  if (expires <= now) return 'expired';
  return used >= uses ? 'used up' : 'valid';
}

const revoke = command({
  usage: `usage: chatmailctl token revoke ID

Ends an invitation at once. Accounts it has led to stay.

${CONFIG_HELP}
`,
  options: CONFIG_OPTION,
  words: [1, 1],
  async run(values, [id], { print }) {
    const { config } = openRelay(values);
    if (!(await asOwnerOf(config.state_dir, () => revokeInvitation(config.state_dir, id!)))) {
      throw new ExitError(EXIT_CHECK_FAILED, `there is no invitation ${id}; see chatmailctl token list`);
    }
    print(`${id} is revoked`);
    return EXIT_OK;
  },
});

/** @throws UsageError */
function parseNumber(option: string, text: string, most: number): number {
  const value = Number(text);
  if (!/^\d{1,7}$/.test(text) || value < 1 || value > most) {
    throw new UsageError(`${option} ${text}: write a number from 1 to ${most}`);
  }
  return value;
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

export const token = commandGroup(
  `usage: chatmailctl token create|list|revoke

  create      make an invitation; prints a link and a QR code
  list        those there are
  revoke ID   end one
`,
  { create, list, revoke },
);
