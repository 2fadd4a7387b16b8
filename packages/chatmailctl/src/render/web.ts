/**
 * Static pages of a relay: what clients look up to configure themselves (chatmail/core configure/auto_mozilla.rs), the
 * MTA-STS policy (RFC 8461), and a page for people who type the name into a browser.
 */

import type { Config } from '#core';
import { HEADER, type RenderedFiles } from '../layout.ts';

/** Where the pages are. Readable for the web server, and not below state_dir, which is not. */
export const WEB_ROOT = '/var/lib/chatmail/web';

/** RFC 8461 section 3.2: seconds a policy is remembered; four weeks. */
const STS_MAX_AGE_SECONDS = 2_419_200;

/** Renders the pages below {@link WEB_ROOT}. `alpn443`: mail is served on port 443 too. */
export function renderWeb(config: Config, alpn443: boolean): RenderedFiles {
  return {
    [`${WEB_ROOT}/autoconfig.xml`]: autoconfig(config, alpn443),
    ...(config.www_folder === '' ? { [`${WEB_ROOT}/index.html`]: landingPage(config) } : {}),
  };
}

function autoconfig({ mail_domain, addressDomain }: Config, alpn443: boolean): string {
  const domain = xml(mail_domain);
  const server = (kind: string, type: string, port: number, socketType: string) => `    <${kind} type="${type}">
      <hostname>${domain}</hostname>
      <port>${port}</port>
      <socketType>${socketType}</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </${kind}>
`;
  const servers = [
    server('incomingServer', 'imap', 993, 'SSL'),
    alpn443 ? server('incomingServer', 'imap', 443, 'SSL') : '',
    server('outgoingServer', 'smtp', 465, 'SSL'),
    server('outgoingServer', 'smtp', 587, 'STARTTLS'),
    alpn443 ? server('outgoingServer', 'smtp', 443, 'SSL') : '',
  ];
  return `<?xml version="1.0" encoding="UTF-8"?>
<!-- ${HEADER} -->
<clientConfig version="1.1">
  <emailProvider id="${domain}">
    <domain>${xml(addressDomain)}</domain>
    <displayName>${domain} chatmail</displayName>
    <displayShortName>${domain}</displayShortName>
${servers.join('')}  </emailProvider>
</clientConfig>
`;
}

/** The lines of the MTA-STS policy; a file could not say that it is ours. None for a certificate nobody can verify. */
export function mtaStsPolicy({ mail_domain, isSelfSigned }: Config): string[] {
  if (isSelfSigned) return [];
  return ['version: STSv1', 'mode: enforce', `mx: ${mail_domain}`, `max_age: ${STS_MAX_AGE_SECONDS}`];
}

function landingPage(config: Config): string {
  const domain = xml(config.mail_domain);
  const contact = [config.privacy_postal, config.privacy_mail, config.privacy_pdo, config.privacy_supervisor]
    .filter((text) => text !== '')
    .map((text) => `<p>${xml(text).replaceAll('\n', '<br>\n')}</p>\n`);
  return `<!DOCTYPE html>
<!-- ${HEADER} -->
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${domain}</title>
<style>body { font: 1.1em/1.5 sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em }</style>
<h1>${domain}</h1>
<p>This is a chatmail relay: it passes on end-to-end encrypted messages of <a href="https://delta.chat">Delta Chat</a> and
keeps them for at most ${config.delete_mails_after} days.</p>
${howToJoin(config)}
${contact.length > 0 ? `<h2>Operator</h2>\n${contact.join('')}` : ''}</html>
`;
}

function howToJoin(config: Config): string {
  if (config.registration === 'closed') return '<p>It takes no new accounts.</p>';
  if (config.registration === 'token') return '<p>It takes new accounts by invitation.</p>';
  const link = config.isSelfSigned ? '/new' : `DCACCOUNT:https://${xml(config.mail_domain)}/new`;
  return `<p><a href="${link}">Get an account</a>: no name, no number, nothing to fill in.</p>`;
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
