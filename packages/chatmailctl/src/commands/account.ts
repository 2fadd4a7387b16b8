/**
 * `chatmailctl account`: who has an account here, and who shall have none.
 */

import { type Address, EXIT_OK, EXIT_TEMPORARY, ExitError } from '#core';
import {
  type AccountDetails,
  blockAccount,
  listAccounts,
  readAccountDetails,
  unblockAccount,
} from '../accounts/account-files.ts';
import { confirm } from '../accounts/confirm.ts';
import { deleteAccount } from '../accounts/delete-account.ts';
import { ACCOUNT_HEADING, formatAccount, formatBytes } from '../accounts/format.ts';
import { deviceTokens } from '../accounts/metadata-client.ts';
import {
  asOwnerOf,
  CONFIG_HELP,
  CONFIG_OPTION,
  DOVECOT_HELP,
  DOVECOT_OPTION,
  METADATA_HELP,
  METADATA_OPTION,
  openRelay,
  type RelayAccess,
  relayAddress,
} from '../accounts/relay-access.ts';
import { endSessions } from '../accounts/sessions.ts';
import { type CommandContext, command, commandGroup, EXIT_CHECK_FAILED } from '../command.ts';

const list = command({
  usage: `usage: chatmailctl account list [--json]

Lists all accounts: day of the last login, number and size of the messages, how full the mailbox is. In no order; the sum goes to
standard error.

  --json                   print one JSON document
${CONFIG_HELP}
`,
  options: { json: { type: 'boolean' }, ...CONFIG_OPTION },
  words: [0, 0],
  async run(values, _words, { print, note, signal }) {
    const { config } = openRelay(values);
    const quotaBytes = config.max_mailbox_size;
    const sum = { accounts: 0, blocked: 0, messages: 0, bytes: 0 };
    print(values.json ? `{"quotaBytes":${quotaBytes},"accounts":[` : ACCOUNT_HEADING);
    await asOwnerOf(config.mailboxes_dir, async () => {
      for await (const account of listAccounts(config.mailboxes_dir, signal)) {
        if (values.json) print(`${sum.accounts === 0 ? '' : ','}${JSON.stringify(account)}`);
        else print(formatAccount(account, quotaBytes));
        sum.accounts++;
        if (account.isBlocked) sum.blocked++;
        sum.messages += account.messages;
        sum.bytes += account.bytes;
      }
    });
    if (values.json) print(`],"sum":${JSON.stringify(sum)}}`);
    else note(`${sum.accounts} accounts (${sum.blocked} blocked), ${sum.messages} messages, ${formatBytes(sum.bytes)}`);
    return signal.aborted ? EXIT_TEMPORARY : EXIT_OK;
  },
});

const show = command({
  usage: `usage: chatmailctl account show ADDRESS [--json]

Says what there is to know about an account; nothing of it tells what anybody wrote.

  --json                   print one JSON object
${CONFIG_HELP}
${METADATA_HELP}
`,
  options: { json: { type: 'boolean' }, ...CONFIG_OPTION, ...METADATA_OPTION },
  words: [1, 1],
  async run(values, [word], { print, note }) {
    const { relay, address, account } = await openAccount(values, word!);
    const quotaBytes = relay.config.max_mailbox_size;
    const devices = await deviceTokens(relay.metadataSocket, [address.text]).then(
      ([tokens]) => tokens?.length,
      (error: Error) => void note(error.message),
    );
    if (values.json) {
      print(JSON.stringify({ ...account, quotaBytes, devices: devices ?? null }));
      return EXIT_OK;
    }
    print(`address:     ${account.address}`);
    print(`state:       ${stateOf(account)}`);
    print(`last login:  ${account.lastLogin}`);
    print(`mailbox:     ${account.messages} messages, ${formatBytes(account.bytes)} of ${formatBytes(quotaBytes)}`);
    print(`clear text:  ${account.refusesCleartext ? 'refused' : 'accepted from outside'}`);
    print(`devices:     ${devices ?? 'unknown'} with push`);
    return EXIT_OK;
  },
});

function stateOf({ isBlocked, hasPassword }: AccountDetails): string {
  if (!isBlocked) return 'active';
  return hasPassword ? 'blocked' : 'blocked, and its password was not kept: it cannot be unblocked';
}

const block = command({
  usage: `usage: chatmailctl account block ADDRESS

Locks an account: nobody can log in to it, who is logged in is logged out, and mail to it is refused. Its mail stays until it is
too old, and the account itself until delete_inactive_users_after; then its name is free again. Its hash is kept beside the empty
password file, as password.blocked.

${CONFIG_HELP}
${DOVECOT_HELP}
`,
  options: { ...CONFIG_OPTION, ...DOVECOT_OPTION },
  words: [1, 1],
  async run(values, [word], context) {
    const { relay, address } = await openAccount(values, word!);
    const { mailboxes_dir } = relay.config;
    const isNew = await asOwnerOf(mailboxes_dir, () => blockAccount(mailboxes_dir, address));
    await logOut(relay, address, context);
    context.print(isNew ? `${address.text} is blocked` : `${address.text} was blocked already`);
    return EXIT_OK;
  },
});

const unblock = command({
  usage: `usage: chatmailctl account unblock ADDRESS

Lets a blocked account log in again, with the password it had.

${CONFIG_HELP}
`,
  options: CONFIG_OPTION,
  words: [1, 1],
  async run(values, [word], { print }) {
    const { relay, address, account } = await openAccount(values, word!);
    if (!account.isBlocked) {
      print(`${address.text} is not blocked`);
      return EXIT_OK;
    }
    if (!account.hasPassword) {
      const remedy = 'put its hash into the password file by hand, or delete the account so that its name is free';
      throw new ExitError(
        EXIT_CHECK_FAILED,
        `the password of ${address.text} was not kept when it was blocked; ${remedy}`,
      );
    }
    const { mailboxes_dir } = relay.config;
    await asOwnerOf(mailboxes_dir, () => unblockAccount(mailboxes_dir, address));
    print(`${address.text} can log in again`);
    return EXIT_OK;
  },
});

const remove = command({
  usage: `usage: chatmailctl account delete ADDRESS [--yes]

Deletes an account with its mail, its device tokens and its waiting pushes, and logs out who is logged in. Its name is free then: where
registration is open, a client that still has the password makes the account anew. To keep somebody out, block instead. Exit code
75: metadata-push could not be told; the next run of chatmail-expire tells it.

  --yes                    do not ask
${CONFIG_HELP}
${METADATA_HELP}
${DOVECOT_HELP}
`,
  options: { yes: { type: 'boolean' }, ...CONFIG_OPTION, ...METADATA_OPTION, ...DOVECOT_OPTION },
  words: [1, 1],
  async run(values, [word], context) {
    const { relay, address, account } = await openAccount(values, word!);
    const { mailboxes_dir } = relay.config;
    const question = `Delete ${address.text} with ${account.messages} messages for ever?`;
    if (!values.yes && !(await confirm(question, context.signal))) {
      context.note('nothing was deleted');
      return EXIT_CHECK_FAILED;
    }
    // Locked first: a client that is logged out comes back within a second.
    await asOwnerOf(mailboxes_dir, () => blockAccount(mailboxes_dir, address));
    await logOut(relay, address, context);
    const outcome = await deleteAccount(relay, address);
    context.print(outcome === 'missing' ? `${address.text} is gone already` : `${address.text} is deleted`);
    if (outcome !== 'forget-later') return EXIT_OK;
    context.note('metadata-push could not be told; the next run of chatmail-expire removes the device tokens');
    return EXIT_TEMPORARY;
  },
});

async function logOut(relay: RelayAccess, address: Address, { note }: CommandContext): Promise<void> {
  const trouble = await endSessions(relay, address);
  if (trouble !== undefined) note(trouble);
}

interface OpenAccount {
  readonly relay: RelayAccess;
  readonly address: Address;
  readonly account: AccountDetails;
}

/** @throws ExitError 1 when there is no such account */
async function openAccount(values: Parameters<typeof openRelay>[0], word: string): Promise<OpenAccount> {
  const relay = openRelay(values);
  const { mailboxes_dir } = relay.config;
  const address = relayAddress(relay.config, word);
  const account = await asOwnerOf(mailboxes_dir, () => readAccountDetails(mailboxes_dir, address));
  if (!account) throw new ExitError(EXIT_CHECK_FAILED, `there is no account ${address.text}`);
  return { relay, address, account };
}

export const account = commandGroup(
  `usage: chatmailctl account list|show|block|unblock|delete

  list              all accounts
  show ADDRESS      one of them
  block ADDRESS     nobody can log in to it any more
  unblock ADDRESS   but now they can again
  delete ADDRESS    remove it with everything it has
`,
  { list, show, block, unblock, delete: remove },
);
