/**
 * The layout of an installed relay: chatmail.ini and what is known about the host in, one `RelayLayout` out. Paths are those of
 * Debian's Postfix and Dovecot and of our units (systemd/, docs/architecture.md).
 */

import { type Config, isIpv4 } from '#core';
import type { HostFacts, RelayLayout } from './layout.ts';

/** Where the certificate is, and who keeps it fresh. */
export interface CertificatePaths {
  readonly chain: string;
  readonly key: string;
  readonly kind: 'acme' | 'external' | 'self';
}

/** External wins over self-signed, which is for relays no authority certifies; the others have an ACME client. */
export function certificatePaths(config: Config): CertificatePaths {
  const [chain, key] = config.tls_external_cert_and_key;
  if (chain !== undefined && key !== undefined) return { chain, key, kind: 'external' };
  if (config.isSelfSigned) {
    return { chain: '/etc/chatmail/tls/self-signed.pem', key: '/etc/chatmail/tls/self-signed.key', kind: 'self' };
  }
  return { chain: '/var/lib/chatmail/acme/live.pem', key: '/var/lib/chatmail/acme/live.key', kind: 'acme' };
}

/** Where the web server looks for the answers to the certificate authority's questions (RFC 8555 section 8.3). */
export const ACME_CHALLENGES = '/var/lib/chatmail/acme/challenges';

/** Recipients of one message; metadata-push tells clients the same number as `maxsmtprecipients`. */
const RECIPIENTS_PER_MESSAGE = 1000;

/** Computes where everything of the relay on this host is. */
export function productionLayout(config: Config, facts: HostFacts): RelayLayout {
  const queue = '/var/spool/postfix';
  const { chain, key } = certificatePaths(config);
  return {
    addressDomain: config.addressDomain,
    hostname: isIpv4(config.mail_domain) ? reverseName(config.mail_domain) : config.mail_domain,
    mailUser: { user: 'vmail', group: 'vmail' },
    listenAddress: undefined,
    // Asking for IPv6 where the kernel has none is an error to Dovecot.
    ipv4Only: config.disable_ipv6 || !facts.hasIpv6,
    ports: { smtp: 25, submissions: 465, submission: 587, imaps: 993 },
    behindWebServer:
      facts.nginx.installed && facts.nginx.streamModule && !facts.nginx.port443Taken
        ? { https: 8443, submissions: 8465, imaps: 8993 }
        : undefined,
    directories: {
      mailboxes: config.mailboxes_dir.replace(/(?<=.)\/+$/, ''),
      postfixConfig: '/etc/postfix',
      postfixQueue: queue,
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
      outgoing: `${queue}/filtermail/outgoing.sock`,
      incoming: `${queue}/filtermail/incoming.sock`,
      sign: `${queue}/filtermail/sign.sock`,
      sasl: `${queue}/private/auth`,
      lmtp: `${queue}/private/dovecot-lmtp`,
    },
    programs: {
      quotaExpire: `${facts.programRoot}/bin/chatmail-quota-expire`,
      luaAuth: `${facts.programRoot}/lua/chatmail-auth.lua`,
    },
    certificate: { chain, key },
    logs: { postfix: undefined, dovecot: undefined },
    chroot: true,
    outbound: 'internet',
    contact: config.privacy_mail,
    imap: { compress: config.imap_compress, rawlog: config.imap_rawlog },
    limits: {
      messageBytes: config.max_message_size,
      mailboxBytes: config.max_mailbox_size,
      recipientsPerMessage: RECIPIENTS_PER_MESSAGE,
      smtpConnections: config.max_smtp_connections,
      imapConnections: config.max_imap_connections,
    },
  };
}

/** The name a server without a name greets with: Postfix wants one that looks like a name. */
function reverseName(ipv4: string): string {
  return `${ipv4.split('.').reverse().join('.')}.in-addr.arpa`;
}
