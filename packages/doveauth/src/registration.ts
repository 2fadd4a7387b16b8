/**
 * May this address be created? Pure rules; the answer is a reason code, which is all that is ever logged or counted.
 * The rules are those of existing relays, so that accounts clients invent for themselves (nine characters) fit here too.
 */

import type { Address, Config } from '#core';
import { MAX_PASSWORD_BYTES } from './password-limits.ts';

/** Why a login or a creation is refused. */
export type RefusalReason =
  | 'bad-address'
  | 'blocked'
  | 'empty-password'
  | 'foreign-domain'
  | 'name-characters'
  | 'name-length'
  | 'password-length'
  | 'registration-closed'
  | 'not-invited'
  | 'wrong-password'
  | HostRefusalReason;

/** Why the machine takes nobody just now. */
export type HostRefusalReason = 'creation-stopped' | 'high-load' | 'low-memory' | 'low-disk';

/** What the machine has to spare. A value that cannot be read is undefined and decides nothing. */
export interface HostState {
  /** One-minute load average. */
  readonly load1: number | undefined;
  readonly availableMemoryBytes: number | undefined;
  /** Free space for the mailboxes. */
  readonly freeDiskBytes: number | undefined;
  /** The operator's emergency brake, `/etc/chatmail-nocreate`, is pulled. */
  readonly isCreationStopped: boolean;
}

export type RegistrationRules = Pick<
  Config,
  | 'registration'
  | 'username_min_length'
  | 'username_max_length'
  | 'password_min_length'
  | 'max_load_1m'
  | 'min_available_memory'
  | 'min_free_disk_space'
>;

/** Checks what the client chose. `address` is already known to be of our domain. Invitations are not looked at. */
export function checkApplication(
  rules: RegistrationRules,
  address: Address,
  passwordBytes: number,
): RefusalReason | undefined {
  const { localPart } = address;
  if (!/^[a-z0-9._-]+$/.test(localPart)) return 'name-characters';
  if (localPart.length < rules.username_min_length || localPart.length > rules.username_max_length)
    return 'name-length';
  if (passwordBytes < rules.password_min_length || passwordBytes > MAX_PASSWORD_BYTES) return 'password-length';
  if (rules.registration === 'closed') return 'registration-closed';
  return undefined;
}

/** Checks whether the machine can take another account. */
export function checkHost(rules: RegistrationRules, host: HostState): HostRefusalReason | undefined {
  if (host.isCreationStopped) return 'creation-stopped';
  if (host.load1 !== undefined && host.load1 > rules.max_load_1m) return 'high-load';
  if (host.availableMemoryBytes !== undefined && host.availableMemoryBytes < rules.min_available_memory)
    return 'low-memory';
  if (host.freeDiskBytes !== undefined && host.freeDiskBytes < rules.min_free_disk_space) return 'low-disk';
  return undefined;
}
