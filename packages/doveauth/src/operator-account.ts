/**
 * `chatmailctl new`: an account made at once, whatever `registration` says. That the operator asks is proved by a token in the
 * state directory, where only root and the mail user can write; what the machine has to spare counts as for everybody.
 */

import { formatDcloginUrl } from '#core';
import type { AccountSettings, Accounts, PasswordHasher } from './accounts.ts';
import { inventPassword } from './credentials.ts';
import { startOfDay } from './last-login.ts';
import { type Credentials, findUnusedAddress, type NewcomersContext } from './newcomers.ts';
import { checkHost, type HostRefusalReason } from './registration.ts';

export type OperatorAccountOutcome =
  | { readonly kind: 'created'; readonly credentials: Credentials & { readonly dcloginUrl: string } }
  | { readonly kind: 'refused'; readonly reason: HostRefusalReason | 'not-the-operator' }
  | { readonly kind: 'temporary' };

export type OperatorAccountContext = Pick<NewcomersContext, 'log' | 'now' | 'randomness'> & {
  /** Logs and counts what comes of it, as for accounts made at a login. */
  readonly accounts: Pick<Accounts, 'noteCreation' | 'noteRefusal'>;
  readonly hasher: PasswordHasher;
  /** The settings of the moment. */
  readonly settings: () => AccountSettings;
};

/** Makes an account with a name nobody has; a refusal is logged and counted by reason. Never rejects. */
export async function createOperatorAccount(
  context: OperatorAccountContext,
  token: string,
): Promise<OperatorAccountOutcome> {
  try {
    const outcome = await create(context, token);
    if (outcome.kind === 'refused') context.accounts.noteRefusal(outcome.reason, 'no account made for the operator');
    return outcome;
  } catch (error) {
    context.log.warn('no account could be created for now', { error });
    return { kind: 'temporary' };
  }
}

async function create(context: OperatorAccountContext, token: string): Promise<OperatorAccountOutcome> {
  const { accounts, hasher, now, randomness, settings } = context;
  const { config, store, invitations, readHost } = settings();
  if (!(await invitations.takeOperator(token, now() / 1000))) return { kind: 'refused', reason: 'not-the-operator' };
  const trouble = checkHost(config, await readHost());
  if (trouble) return { kind: 'refused', reason: trouble };
  const { bytes } = await randomness();
  const address = await findUnusedAddress({ config, store }, bytes);
  if (!address) return { kind: 'temporary' };
  const password = inventPassword(config, bytes);
  const hash = await hasher.hash(Buffer.from(password));
  if (!(await store.create(address, hash, startOfDay(now() / 1000)))) return { kind: 'temporary' };
  accounts.noteCreation();
  const dcloginUrl = formatDcloginUrl(config, address.text, password);
  return { kind: 'created', credentials: { email: address.text, password, dcloginUrl } };
}
