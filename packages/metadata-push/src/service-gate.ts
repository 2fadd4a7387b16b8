/**
 * [io] What keeps one service of the push gateway from stopping the others: so many pushes at once, and a circuit breaker. One that does
 * not answer in time has failed for now; what comes of it later still counts.
 */

import { Circuit } from './circuit.ts';
import { PATIENCE_MS } from './late-answers.ts';
import type { LaneName, PushOutcome } from './providers/provider.ts';

/** Pushes of one service on the wire at once. A quarter of what the gateway works on. */
const MAX_ON_THE_WIRE = 1024;
/** What a relay is asked to wait while the service is just being asked whether it is back. */
const PROBE_WAIT_MS = 5000;
/**
 * For so long after a pause only a device that has not failed may ask whether the service is back: whoever has tokens that always fail must
 * not be the only one who does.
 */
const OTHERS_FIRST_MS = 5000;

export interface ServiceGateOptions {
  /** A clock that only goes forward, ms. */
  readonly now: () => number;
  /** The service is being left alone, or is back. */
  readonly onChange: (change: 'opened' | 'closed') => void;
  readonly maxOnTheWire?: number | undefined;
  readonly patienceMs?: number | undefined;
}

export class ServiceGate {
  readonly #options: ServiceGateOptions;
  /** Undefined: every token names a service of its own. */
  readonly #circuit: Circuit | undefined;
  #onTheWire = 0;

  constructor(service: LaneName, options: ServiceGateOptions) {
    this.#options = options;
    this.#circuit = service === 'webpush' ? undefined : new Circuit();
  }

  /**
   * Sends a push, unless the service has too much to do or is being left alone. Rejects as `send` does.
   *
   * @param id names the device
   */
  async push(id: string, send: () => Promise<PushOutcome>): Promise<PushOutcome> {
    const { now, maxOnTheWire = MAX_ON_THE_WIRE, patienceMs = PATIENCE_MS } = this.#options;
    if (this.#onTheWire >= maxOnTheWire) return BUSY;
    const othersFirstMs = this.#circuit?.isOpen() && this.#circuit.hasFailed(id) ? OTHERS_FIRST_MS : 0;
    if (this.#circuit?.mayStart(now() - othersFirstMs) === false) return this.#paused(this.#circuit, othersFirstMs);
    const isProbe = this.#circuit?.started() ?? false;
    this.#onTheWire++;
    let isLate = false;
    let outcome: PushOutcome | undefined;
    const timer = setTimeout(() => {
      isLate = true;
      this.#ended(LATE, isProbe, id);
    }, patienceMs);
    try {
      outcome = await send();
      return outcome;
    } finally {
      clearTimeout(timer);
      this.#onTheWire--;
      // Its failure has been counted when it was late.
      if (!isLate) this.#ended(outcome, isProbe, id);
      else if (outcome && outcome.kind !== 'retry') this.#ended(outcome, false, id);
    }
  }

  /** True when the service is being left alone. */
  isOpen(): boolean {
    return this.#circuit?.isOpen() ?? false;
  }

  #paused(circuit: Circuit, othersFirstMs: number): PushOutcome {
    const retryAt = circuit.retryAt();
    const afterMs = retryAt === undefined ? PROBE_WAIT_MS : retryAt + othersFirstMs - this.#options.now();
    return { kind: 'retry', reason: 'paused', afterMs };
  }

  #ended(outcome: PushOutcome | undefined, isProbe: boolean, id: string): void {
    const change = this.#circuit?.ended(outcome, isProbe, this.#options.now(), id);
    if (change) this.#options.onChange(change);
  }
}

const BUSY: PushOutcome = { kind: 'retry', reason: 'busy' };
const LATE: PushOutcome = { kind: 'retry', reason: 'timeout' };
