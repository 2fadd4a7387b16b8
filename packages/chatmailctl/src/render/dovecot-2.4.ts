/**
 * Dovecot 2.4's part of a relay: the same as dovecot-2.3.ts in the other language (doc.dovecot.org/2.4; checked with 2.4.1).
 * Accounts come from our Lua script, which asks doveauth over HTTP (docs/dovecot-2.4.md), because 2.4 has no dict for them.
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

/** Renders dovecot.conf, push_notification.lua and the log's script into `directories.dovecotConfig`. */
export function renderDovecot24(layout: RelayLayout): RenderedFiles {
  const config = layout.directories.dovecotConfig;
  return {
    [`${config}/dovecot.conf`]: dovecotConf(layout),
    [`${config}/push_notification.lua`]: PUSH_LUA,
    ...renderDovecotLog(layout),
  };
}

function dovecotConf(layout: RelayLayout): string {
  const { directories, sockets, mailUser, limits, ports, certificate, programs } = layout;
  const { quotaTargetMegabytes, authClients, processes } = dovecotNumbers(layout);
  const lua = `  lua_file = ${programs.luaAuth}
  lua_settings {
    mailboxes = ${directories.mailboxes}
    socket = ${sockets.http}
  }`;
  const proxiedListener = layout.behindWebServer
    ? `  # From the web server, for clients that get out on port 443 only.
  inet_listener imaps-proxied {
    listen = 127.0.0.1
    port = ${layout.behindWebServer.imaps}
    ssl = yes
    haproxy = yes
  }
`
    : '';
  return `# ${HEADER}
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap lmtp
listen = ${listenAddresses(layout)}
base_dir = ${directories.dovecotRun}
state_dir = ${directories.dovecotState}
${logDestination(layout)}\
# Who, from where and which message is nobody's business. The pid is the only handle: Dovecot makes session ids out of the time
# and the client's address, for everybody to decode.
mail_log_prefix = "%{service}(%{process:pid}): "
login_log_format_elements = mpid=%{mail_pid} %{mechanism} %{secured}
deliver_log_format = %{message}
auth_verbose = no

ssl = required
ssl_min_protocol = TLSv1.3
ssl_server_cert_file = ${certificate.chain}
ssl_server_key_file = ${certificate.key}
auth_allow_cleartext = no
${layout.behindWebServer ? 'haproxy_trusted_networks = 127.0.0.1\n' : ''}\

auth_mechanisms = plain
# Brackets, for the addresses of a relay without a name: user@[203.0.113.7].
auth_username_chars = ${AUTH_USERNAME_CHARS}
# A cached refusal would outlive the creation of the account.
auth_cache_size = 0
passdb lua {
${lua}
}
userdb lua {
${lua}
  fields {
    uid = ${mailUser.user}
    gid = ${mailUser.group}
  }
}

mail_uid = ${mailUser.user}
mail_gid = ${mailUser.group}
mail_driver = maildir
mail_home = ${directories.mailboxes}/%{user}
mail_path = %{home}
namespace inbox {
  inbox = yes
}
mail_plugins {
  quota = yes
  mail_compress = yes
}
mail_compress_write_method = gz
# Postfix forgets a message as soon as LMTP has taken it, so it must be on the disk by then.
mail_fsync = optimized
mail_attribute {
  dict proxy {
    name = metadata
    socket_path = ${sockets.metadata}
  }
}
last_login {
  dict proxy {
    name = lastlogin
    socket_path = ${sockets.lastlogin}
  }
}
last_login_precision = s
push_notification lua {
  lua_file = ${directories.dovecotConfig}/push_notification.lua
}
quota "User quota" {
  driver = maildir
  storage_size = ${limits.mailboxBytes}B
  # 2.4 lets a mailbox grow 10 MB over its limit otherwise.
  quota_storage_grace = 0
  warning filling {
    quota_storage_percentage = ${QUOTA_WARNING_PERCENT}
    execute quota-warning {
      args = ${quotaTargetMegabytes} ${directories.mailboxes}/%{user}
    }
  }
}
quota_mail_size = ${limits.messageBytes}B
${layout.contact ? `mail_server_admin = mailto:${layout.contact}\n` : ''}\
imap_capability {
  XDELTAPUSH = yes
  XCHATMAIL = yes
${layout.imap.compress ? '' : '  "COMPRESS=DEFLATE" = no\n'}\
}
# A hibernated session hears of a new message at once; an imap process waits 500 ms first. metadata-push makes up for the
# notifications that are lost when a session hibernates within these 500 ms.
imap_hibernate_timeout = 1s
mail_max_userip_connections = 20
recipient_delimiter = +
lmtp_add_received_header = no

protocol imap {
  mail_plugins {
    imap_quota = yes
    last_login = yes
  }
  imap_metadata = yes
${layout.imap.rawlog ? '  rawlog_dir = %{home}\n' : ''}\
}
protocol lmtp {
  mail_plugins {
    mail_lua = yes
    notify = yes
    push_notification = yes
    push_notification_lua = yes
  }
}

service imap-login {
  # One process for many sessions, instead of one each.
  restart_request_count = unlimited
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
  extra_groups {
    $SET:default_internal_group = yes
  }
  unix_listener imap-master {
    user = $SET:default_internal_user
  }
}
service imap-hibernate {
  client_limit = ${limits.imapConnections}
  vsz_limit = 1G
  unix_listener imap-hibernate {
    mode = 0660
    group = $SET:default_internal_group
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
  executable = script ${programs.quotaExpire}
  user = ${mailUser.user}
  vsz_limit = unlimited
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
  # LMTP runs as the mail user and reports its sessions here.
  unix_listener anvil {
    group = ${mailUser.group}
    mode = 0660
  }
}
`;
}
