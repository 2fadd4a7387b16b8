/**
 * Dovecot 2.3's part of a relay: dovecot.conf, the dict lookup of accounts, and the Lua hook that tells metadata-push of
 * new mail (doc.dovecot.org/2.3; checked with 2.3.19). Accounts come from doveauth, METADATA and pushes go to
 * metadata-push, over Dovecot's dict protocol. Logs name processes, never people or addresses.
 */

import { HEADER, type RelayLayout, type RenderedFiles } from '../layout.ts';
import {
  AUTH_USERNAME_CHARS,
  dovecotNumbers,
  listenAddresses,
  logDestination,
  PUSH_LUA,
  QUOTA_WARNING_PERCENT,
} from './dovecot-common.ts';
import { renderDovecotLog } from './log.ts';

/** Renders dovecot.conf, auth-dict.conf, push_notification.lua and the log's script into `directories.dovecotConfig`. */
export function renderDovecot23(layout: RelayLayout): RenderedFiles {
  const config = layout.directories.dovecotConfig;
  return {
    [`${config}/dovecot.conf`]: dovecotConf(layout),
    [`${config}/auth-dict.conf`]: authDict(layout),
    [`${config}/push_notification.lua`]: PUSH_LUA,
    ...renderDovecotLog(layout),
  };
}

function dovecotConf(layout: RelayLayout): string {
  const { directories, sockets, mailUser, limits, ports, certificate } = layout;
  const { quotaTargetMegabytes, authClients, processes } = dovecotNumbers(layout);
  const compress = layout.imap.compress ? ' imap_zlib' : '';
  const proxiedListener = layout.behindWebServer
    ? `  # From the web server, for clients that get out on port 443 only.
  inet_listener imaps-proxied {
    address = 127.0.0.1
    port = ${layout.behindWebServer.imaps}
    ssl = yes
    haproxy = yes
  }
`
    : '';
  return `# ${HEADER}
protocols = imap lmtp
listen = ${listenAddresses(layout)}
base_dir = ${directories.dovecotRun}
state_dir = ${directories.dovecotState}
${logDestination(layout)}\
# Who, from where and which message is nobody's business. The pid is the only handle: Dovecot makes session ids out of the time
# and the client's address, for everybody to decode.
mail_log_prefix = "%s(%{pid}): "
login_log_format_elements = mpid=%{mail_pid} %m %c
deliver_log_format = %$
auth_verbose = no

ssl = required
ssl_min_protocol = TLSv1.3
ssl_cert = <${certificate.chain}
ssl_key = <${certificate.key}
disable_plaintext_auth = yes
${layout.behindWebServer ? 'haproxy_trusted_networks = 127.0.0.1\n' : ''}\

auth_mechanisms = plain
# Brackets, for the addresses of a relay without a name: user@[203.0.113.7].
auth_username_chars = ${AUTH_USERNAME_CHARS}
# A cached refusal would outlive the creation of the account.
auth_cache_size = 0
passdb {
  driver = dict
  args = ${directories.dovecotConfig}/auth-dict.conf
}
userdb {
  driver = dict
  args = ${directories.dovecotConfig}/auth-dict.conf
}

mail_uid = ${mailUser.user}
mail_gid = ${mailUser.group}
mail_location = maildir:${directories.mailboxes}/%u
namespace inbox {
  inbox = yes
}
mail_plugins = quota zlib
# Postfix forgets a message as soon as LMTP has taken it, so it must be on the disk by then.
mail_fsync = optimized
mail_attribute_dict = proxy:${sockets.metadata}:metadata
${layout.contact ? `mail_server_admin = mailto:${layout.contact}\n` : ''}\
imap_capability = +XDELTAPUSH XCHATMAIL
# A hibernated session hears of a new message at once; an imap process waits 500 ms first. metadata-push makes up for the
# notifications that are lost when a session hibernates within these 500 ms.
imap_hibernate_timeout = 1s
mail_max_userip_connections = 20
recipient_delimiter = +
lmtp_add_received_header = no

protocol imap {
  mail_plugins = $mail_plugins imap_quota last_login${compress}
  imap_metadata = yes
${layout.imap.rawlog ? '  rawlog_dir = %h\n' : ''}\
}
protocol lmtp {
  mail_plugins = $mail_plugins mail_lua notify push_notification push_notification_lua
}
plugin {
  last_login_dict = proxy:${sockets.lastlogin}:lastlogin
  last_login_precision = s
  push_notification_driver = lua:file=${directories.dovecotConfig}/push_notification.lua
  quota = maildir:User quota
  quota_rule = *:storage=${limits.mailboxBytes}B
  quota_grace = 0
  quota_max_mail_size = ${limits.messageBytes}B
  quota_warning = storage=${QUOTA_WARNING_PERCENT}%% quota-warning ${quotaTargetMegabytes} ${directories.mailboxes}/%u
  zlib_save = gz
}

service imap-login {
  # One process for many sessions, instead of one each.
  service_count = 0
  client_limit = ${limits.imapConnections}
  # TLS of all sessions; at the default of 256 MB a few thousand would be the end of it.
  vsz_limit = 1G
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = ${ports.imaps}
  }
${proxiedListener}\
}
service imap {
  process_limit = ${limits.imapConnections}
  # Hibernation: imap hands sessions to imap-hibernate, which hands them back here.
  extra_groups = $default_internal_group
  unix_listener imap-master {
    user = $default_internal_user
  }
}
service imap-hibernate {
  client_limit = ${limits.imapConnections}
  vsz_limit = 1G
  unix_listener imap-hibernate {
    mode = 0660
    group = $default_internal_group
  }
}
service lmtp {
  user = ${mailUser.user}
  unix_listener ${sockets.lmtp} {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service auth {
  client_limit = ${authClients}
  unix_listener ${sockets.sasl} {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service auth-worker {
  user = ${mailUser.user}
}
service stats {
  client_limit = ${processes}
}
# Makes room in a mailbox that fills up. Node reserves more address space than Dovecot grants by default.
service quota-warning {
  executable = script ${layout.programs.quotaExpire}
  user = ${mailUser.user}
  vsz_limit = 0
  unix_listener quota-warning {
    user = ${mailUser.user}
    mode = 0600
  }
}
service anvil {
  client_limit = ${processes}
  # All clients behind one address would wait for one of them mistyping a password.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`;
}

function authDict(layout: RelayLayout): string {
  return `# ${HEADER}
uri = proxy:${layout.sockets.auth}:auth
iterate_disable = no
iterate_prefix = userdb/
default_pass_scheme = plain
# %E puts a backslash before quotes and backslashes, so that the quote in the middle is the only bare one.
password_key = passdb/%Ew"%Eu
user_key = userdb/%Eu
`;
}
