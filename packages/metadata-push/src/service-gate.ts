/**
 * [io] What keeps one service of the push gateway from stopping the others: so many pushes at once, a circuit breaker, and an answer in
 * time. A relay has a limited number of requests on the wire and cannot see the service of an encrypted token, so a service that hangs
 * must give the places of its pushes back. A push whose relay was told to come again stays on the wire, and what comes of it still counts.
 */

import { Circuit } from './circuit.ts';
import type { PushOutcome, ServiceName } from './providers/provider.ts';

/** Pushes of one service on the wire at once. A quarter of what the gateway works on. */
const MAX_ON_THE_WIRE = 1024;
/** Longest wait for a service, ms. */
const PATIENCE_MS = 5000;
/** What a relay is asked to wait while the service is just being asked whether it is back. */
const PROBE_WAIT_MS = 5000;

/** What came of a push, and whether that was another one to the same device. */
export interface Sent {
  readonly outcome: PushOutcome;
  readonly isShared: boolean;
}

export interface ServiceGateOptions {
  /** A clock that only goes forward, ms. */
  readonly now: () => number;
  /** The service is being left alone, or is back. */
  readonly onChange: (change: 'opened' | 'closed') => void;
  readonly maxOnTheWire?: number;
  readonly patienceMs?: number;
}

export class ServiceGate {
  readonly #options: ServiceGateOptions;
  /** Undefined: every token names a service of its own. */
  readonly #circuit: Circuit | undefined;
  #onTheWire = 0;

  constructor(service: ServiceName, options: ServiceGateOptions) {
    this.#options = options;
    this.#circuit = service === 'webpush' ? undefined : new Circuit();
  }

  /**
   * Sends a push, unless the service has too much to do or is being left alone. Rejects as `send` does.
   *
   * @param id names the device
   */
  push(id: string, send: () => Promise<Sent>): Promise<Sent> {
    const { now, maxOnTheWire = MAX_ON_THE_WIRE, patienceMs = PATIENCE_MS } = this.#options;
    if (this.#onTheWire >= maxOnTheWire) return Promise.resolve(BUSY);
    if (this.#circuit?.mayStart(now()) === false) return Promise.resolve(this.#paused(this.#circuit));
    const isProbe = this.#circuit?.started() ?? false;
    this.#onTheWire++;
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        this.#ended(LATE.outcome, isProbe, id);
        resolve(LATE);
      }, patienceMs);
      const end = (outcome: PushOutcome | undefined) => {
        clearTimeout(timer);
        this.#onTheWire--;
        // Its failure has been counted when it was late.
        if (!isLate) this.#ended(outcome, isProbe, id);
        else if (outcome && outcome.kind !== 'retry') this.#ended(outcome, false, id);
      };
      send().then(
        (sent) => {
          end(sent.outcome);
          resolve(sent);
        },
        (error) => {
          end(undefined);
          reject(error);
        },
      );
    });
  }

  /** True when the service is being left alone. */
  isOpen(): boolean {
    return this.#circuit?.isOpen() ?? false;
  }

  #paused(circuit: Circuit): Sent {
    const retryAt = circuit.retryAt();
    const afterMs = retryAt === undefined ? PROBE_WAIT_MS : retryAt - this.#options.now();
    return { outcome: { kind: 'retry', reason: 'paused', afterMs }, isShared: false };
  }

  #ended(outcome: PushOutcome | undefined, isProbe: boolean, id: string): void {
    const change = this.#circuit?.ended(outcome, isProbe, this.#options.now(), id);
    if (change) this.#options.onChange(change);
  }
}

const BUSY: Sent = { outcome: { kind: 'retry', reason: 'busy' }, isShared: false };
const LATE: Sent = { outcome: { kind: 'retry', reason: 'timeout' }, isShared: false };
