/**
 * What keeps the certificate fresh: a timer that lets `chatmailctl tls` look once a day, a path unit where somebody else writes the
 * files, and the configuration of dehydrated(1) where an authority signs (shell assignments, /usr/share/doc/dehydrated).
 */

import type { Config } from '#core';
import { HEADER, type HostFacts, type RenderedFiles } from '../layout.ts';
import { ACME_CHALLENGES, certificatePaths } from '../production-layout.ts';

export const ACME_CONFIG = '/etc/chatmail/acme.conf';
/** Accounts, keys and certificates of dehydrated. */
export const ACME_STATE = '/var/lib/chatmail/acme/dehydrated';

/** The authorities that are trusted, as Debian's ca-certificates collects them. */
export const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';

/** Days before its end a certificate is renewed. */
export const RENEW_DAYS = 30;

/** Renders the units. */
export function renderTlsUnits(config: Config, facts: HostFacts): RenderedFiles {
  const { kind, chain, key } = certificatePaths(config);
  const unit = (name: string, lines: readonly string[]) => [
    `/etc/systemd/system/chatmail-tls.${name}`,
    `# ${HEADER}\n${lines.join('\n')}\n`,
  ];
  return Object.fromEntries([
    unit('service', [
      '[Unit]',
      'Description=Certificate of the chatmail relay',
      'Documentation=man:chatmailctl(8)',
      'Wants=network-online.target',
      'After=network-online.target nginx.service',
      '',
      '[Service]',
      'Type=oneshot',
      // Certificate and key are two files, and both must be there.
      ...(kind === 'external' ? ['ExecStartPre=/bin/sleep 3'] : []),
      `ExecStart=${facts.programRoot}/bin/chatmailctl tls`,
    ]),
    unit('timer', [
      '[Unit]',
      'Description=Daily look at the certificate of the chatmail relay',
      '',
      '[Timer]',
      'OnCalendar=daily',
      // Authorities ask for it.
      'RandomizedDelaySec=20h',
      'Persistent=yes',
      '',
      '[Install]',
      'WantedBy=timers.target',
    ]),
    ...(kind === 'external'
      ? [
          unit('path', [
            '[Unit]',
            'Description=Changes of the certificate of the chatmail relay',
            '',
            '[Path]',
            `PathChanged=${chain.replaceAll('%', '%%')}`,
            `PathChanged=${key.replaceAll('%', '%%')}`,
            '',
            '[Install]',
            'WantedBy=paths.target',
          ]),
        ]
      : []),
  ]);
}

/** Renders dehydrated's configuration, for relays that have a certificate from an authority. */
export function renderAcme(config: Config, root = ''): RenderedFiles {
  if (certificatePaths(config).kind !== 'acme') return {};
  const settings = {
    CA: config.acme_directory_url,
    BASEDIR: `${root}${ACME_STATE}`,
    WELLKNOWN: `${root}${ACME_CHALLENGES}`,
    CHALLENGETYPE: 'http-01',
    KEY_ALGO: 'prime256v1',
    RENEW_DAYS: String(RENEW_DAYS),
    CONTACT_EMAIL: config.acme_email,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'`);
  return { [ACME_CONFIG]: `# ${HEADER}\n# For dehydrated(1).\n${lines.join('\n')}\n` };
}
