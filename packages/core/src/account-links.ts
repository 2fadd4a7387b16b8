/**
 * The links clients take an account from. Source: the `dclogin:` and `dcaccount:` schemes of Delta Chat
 * (github.com/deltachat/interface uri-schemes.md).
 */

import type { Config } from './config.ts';

/**
 * The link that logs a client in. Where it cannot check the certificate, `ic=3` makes it accept any. An IP relay also names its
 * servers, because there is no DNS to find them by. The address stays as it is: clients expect `@[]` bare.
 */
export function formatDcloginUrl(
  { mail_domain, isIpRelay, isSelfSigned }: Pick<Config, 'mail_domain' | 'isIpRelay' | 'isSelfSigned'>,
  email: string,
  password: string,
): string {
  const servers = isIpRelay ? `&ih=${mail_domain}&sh=${mail_domain}` : '';
  return `dclogin:${email}?p=${encodeURIComponent(password)}&v=1${servers}${isSelfSigned ? '&ic=3' : ''}`;
}

/** The link that makes a client fetch `/new` itself, with an invitation where one is needed. */
export function formatDcaccountUrl({ mail_domain }: Pick<Config, 'mail_domain'>, token: string | undefined): string {
  return `dcaccount:https://${mail_domain}/new${token === undefined ? '' : `?t=${encodeURIComponent(token)}`}`;
}
