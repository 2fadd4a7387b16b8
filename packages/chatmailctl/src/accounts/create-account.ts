/**
 * [io] Has doveauth make an account, whatever `registration` says. A token in the state directory, good for one minute and one
 * account, proves to doveauth that the operator asks; see core/invitations.ts.
 */

import { request } from 'node:http';
import { createInvitation, EXIT_TEMPORARY, ExitError, invitationId, revokeInvitation } from '#core';
import { asOwnerOf, type RelayAccess } from './relay-access.ts';

export interface NewAccount {
  readonly address: string;
  readonly password: string;
  /** What logs a client in. */
  readonly link: string;
}

const TOKEN_SECONDS = 60;
/** doveauth may have to be started, and hashes within a second. */
const TIMEOUT_MS = 20_000;

/**
 * Makes an account with a name nobody has.
 *
 * @throws ExitError 75 when doveauth does not answer or has no room for another account
 */
export async function createAccount({ config, doveauthSocket }: RelayAccess): Promise<NewAccount> {
  // The state directory comes into being with the first start of doveauth, which a question of any kind brings about.
  await post(doveauthSocket, '/userdb');
  const stateDir = config.state_dir;
  const created = Math.floor(Date.now() / 1000);
  const terms = { uses: 1, created, expires: created + TOKEN_SECONDS, operator: true };
  const token = await asOwnerOf(stateDir, () => createInvitation(stateDir, terms));
  try {
    const { status, body } = await post(doveauthSocket, `/account?t=${token}`);
    const answer = parseAnswer(body);
    if (status !== 200) {
      const reason =
        status === 404 ? 'it is of another version: restart it' : (answer.reason ?? `HTTP status ${status}`);
      throw new ExitError(EXIT_TEMPORARY, `doveauth makes no account: ${reason}`);
    }
    return { address: answer.email!, password: answer.password!, link: answer.dclogin_url! };
  } finally {
    const id = await invitationId(token);
    await asOwnerOf(stateDir, () => revokeInvitation(stateDir, id!));
  }
}

function parseAnswer(body: string): Record<string, string | undefined> {
  try {
    return JSON.parse(body) as Record<string, string>;
  } catch {
    return {};
  }
}

function post(socketPath: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      const { code } = error as NodeJS.ErrnoException;
      const remedy = code === 'EACCES' ? 'run this as root' : 'is it running? systemctl status doveauth';
      reject(
        new ExitError(EXIT_TEMPORARY, `doveauth cannot be asked at ${socketPath} (${code}); ${remedy}`, {
          cause: error,
        }),
      );
    };
    const outgoing = request({ socketPath, path, method: 'POST', timeout: TIMEOUT_MS, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', fail);
    });
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    outgoing.on('error', fail);
    outgoing.end();
  });
}
