/**
 * What the configurations of Dovecot 2.3 and 2.4 share: the numbers, computed from the limits of the relay, and the Lua hook
 * that tells metadata-push of new mail.
 */

import { HEADER, type RelayLayout } from '../layout.ts';

const MEBIBYTE = 1_048_576;

/** How full a mailbox is when room is made, and how full it may be afterwards, percent. */
export const QUOTA_WARNING_PERCENT = 75;
const QUOTA_TARGET_PERCENT = 70;

/** Processes beside those that serve clients: auth workers, LMTP, doveadm, Dovecot's own. */
const OTHER_PROCESSES = 1000;

export interface DovecotNumbers {
  /** TARGET_MB of chatmail-quota-expire. */
  readonly quotaTargetMegabytes: number;
  /** Connections to `auth`: one for each process that logs somebody in, of Dovecot and of Postfix's three services. */
  readonly authClients: number;
  /** Connections to `anvil` and `stats`: every process has one. At the default, 1000, `stats` stops all logins when it is full. */
  readonly processes: number;
}

/** Computes them. */
export function dovecotNumbers({ limits }: RelayLayout): DovecotNumbers {
  return {
    quotaTargetMegabytes: Math.floor((limits.mailboxBytes * QUOTA_TARGET_PERCENT) / 100 / MEBIBYTE),
    authClients: 2 * limits.imapConnections + 3 * limits.smtpConnections + OTHER_PROCESSES,
    processes: 2 * limits.imapConnections + OTHER_PROCESSES,
  };
}

/** `listen`: where Dovecot accepts. */
export function listenAddresses(layout: RelayLayout): string {
  return layout.listenAddress ?? (layout.ipv4Only ? '*' : '*, ::');
}

/** Where the log goes: a file, or standard error, which the unit runs through the script of log.ts. The journal has clocks. */
export function logDestination({ logs }: RelayLayout): string {
  return logs.dovecot ? `log_path = ${logs.dovecot}\n` : 'log_path = /dev/stderr\nlog_timestamp =\n';
}

/** Brackets, for the addresses of a relay without a name: user@[203.0.113.7]. */
export const AUTH_USERNAME_CHARS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@[]';

/** Runs in LMTP after a message is stored. */
export const PUSH_LUA = `-- ${HEADER}

function dovecot_lua_notify_begin_txn(user)
  return user
end

-- A message to oneself, as a second device of the same account sends, is announced to sessions that idle and not pushed.
function dovecot_lua_notify_event_message_new(user, event)
  local entry = "messagenew"
  if user.username == event.from_address then
    entry = "messagewake"
  end
  local mailbox = user:mailbox(event.mailbox)
  mailbox:open()
  mailbox:metadata_set("/private/" .. entry, "")
  mailbox:free()
end

function dovecot_lua_notify_end_txn(user)
end
`;
