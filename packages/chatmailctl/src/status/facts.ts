/**
 * What `status` finds out about a relay, before anything is judged. Every part may be missing: a check that got no answer says
 * so, and the others do not wait for it.
 */

import type { PushStats } from '../accounts/metadata-client.ts';
import type { ZoneReport } from '../dns/check.ts';

/** What is known, or why it is not: one sentence. */
export type Found<T> =
  | { readonly value: T }
  /** `isForbidden`: there is something, but not for this user. */
  | { readonly unknown: string; readonly isForbidden?: boolean };

export interface StatusFacts {
  readonly units: Found<readonly UnitFacts[]>;
  /** By daemon, milliseconds until it answered; of those that `push` is not about. */
  readonly answers: Readonly<Record<string, Found<number>>>;
  readonly ports: readonly PortFacts[];
  readonly certificate: Found<ServedCertificate>;
  readonly dns: Found<ZoneReport> | undefined;
  readonly queue: Found<QueueFacts>;
  readonly push: Found<PushStats>;
  readonly disks: readonly Found<DiskFacts>[];
  readonly memory: Found<{ readonly availableBytes: number; readonly load1: number }>;
  /** Rendered files that are not on the machine as they would be written now. */
  readonly changedFiles: Found<readonly string[]>;
  /** The operator's emergency brake. */
  readonly isCreationStopped: boolean;
  readonly versions: Readonly<Record<string, string>>;
}

/** From `systemctl show`. */
export interface UnitFacts {
  readonly name: string;
  readonly isInstalled: boolean;
  /** `active`, `inactive`, `failed`, `activating`, ... */
  readonly active: string;
  readonly sub: string;
  /** `success`, `exit-code`, `oom-kill`, ... of its last run. */
  readonly result: string;
  readonly isEnabled: boolean;
}

export interface PortFacts {
  readonly port: number;
  readonly service: string;
  /** Undefined: it answered as it should. */
  readonly trouble: string | undefined;
}

/** The certificate a client sees, not the one on disk. */
export interface ServedCertificate {
  readonly expiresMs: number;
  readonly matchesName: boolean;
  readonly isSelfSigned: boolean;
  /** Why a client that checks would refuse it; undefined: it would not. */
  readonly refusedFor: string | undefined;
}

export interface QueueFacts {
  readonly active: number;
  readonly deferred: number;
  readonly held: number;
  readonly oldestSeconds: number;
  /** How often each kind of reason puts a recipient off. */
  readonly reasons: Readonly<Record<string, number>>;
}

export interface DiskFacts {
  /** What of the relay is on it. */
  readonly what: string;
  /** Its number, to tell one from another. */
  readonly device: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly freeInodes: number;
  readonly totalInodes: number;
}
