/** Layouts for tests: a relay as it would be installed, to be changed in one place per test. */

import type { HostFacts, RelayLayout } from '../src/layout.ts';

export const INSTALLED: RelayLayout = {
  addressDomain: 'chat.example.org',
  hostname: 'chat.example.org',
  mailUser: { user: 'vmail', group: 'vmail' },
  listenAddress: undefined,
  ipv4Only: false,
  ports: { smtp: 25, submissions: 465, submission: 587, imaps: 993 },
  behindWebServer: { https: 8443, submissions: 8465, imaps: 8993 },
  directories: {
    mailboxes: '/home/vmail/mail/chat.example.org',
    postfixConfig: '/etc/postfix',
    postfixQueue: '/var/spool/postfix',
    postfixData: '/var/lib/postfix',
    dovecotConfig: '/etc/dovecot',
    dovecotRun: '/run/dovecot',
    dovecotState: '/var/lib/dovecot',
  },
  sockets: {
    auth: '/run/doveauth/doveauth.socket',
    http: '/run/doveauth/http.socket',
    new: '/run/doveauth/new.socket',
    lastlogin: '/run/chatmail-lastlogin/lastlogin.socket',
    metadata: '/run/chatmail-metadata/metadata.socket',
    outgoing: '/var/spool/postfix/filtermail/outgoing.sock',
    incoming: '/var/spool/postfix/filtermail/incoming.sock',
    sign: '/var/spool/postfix/filtermail/sign.sock',
    sasl: '/var/spool/postfix/private/auth',
    lmtp: '/var/spool/postfix/private/dovecot-lmtp',
  },
  programs: {
    quotaExpire: '/usr/lib/chatmail-sidecars/bin/chatmail-quota-expire',
    luaAuth: '/usr/lib/chatmail-sidecars/lua/chatmail-auth.lua',
  },
  certificate: { chain: '/etc/chatmail/tls/chain.pem', key: '/etc/chatmail/tls/key.pem' },
  logs: { postfix: undefined, dovecot: undefined },
  chroot: true,
  outbound: 'internet',
  contact: '',
  imap: { compress: false, rawlog: false },
  limits: {
    messageBytes: 31_457_280,
    mailboxBytes: 524_288_000,
    recipientsPerMessage: 1000,
    smtpConnections: 1000,
    imapConnections: 10_000,
  },
};

/** A Debian 12 with everything at hand. */
export const FACTS: HostFacts = {
  debian: 12,
  dovecot: '2.3',
  dovecotVersion: '2.3.19.1 (9b53102964)',
  postfixVersion: '3.7.11',
  memoryBytes: 4 * 2 ** 30,
  nginx: { installed: true, streamModule: true },
  hasIpv6: true,
  programRoot: '/usr/lib/chatmail-sidecars',
};
