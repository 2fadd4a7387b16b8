/**
 * [io] Metrics in the Prometheus text format. The library behind them is loaded only when the operator switched the metrics
 * listener on; without it every counter is an empty function and costs neither memory nor time worth naming.
 */

import type { Registry } from 'prom-client';

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  inc(labels?: Labels, by?: number): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export interface Metrics {
  /** A number that only grows. Label values must come from a fixed set: never from a message or a user. */
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  /** A distribution; `buckets` are upper bounds in the unit the name ends with. */
  histogram(name: string, help: string, buckets: readonly number[], labelNames?: readonly string[]): Histogram;
  /** A number read at the moment somebody asks. */
  gauge(name: string, help: string, read: () => number): void;
  /** The metrics page, or undefined when metrics are off. */
  page(): Promise<{ readonly contentType: string; readonly body: string } | undefined>;
}

/** Metrics that are counted nowhere. */
export const NO_METRICS: Metrics = {
  counter: () => ({ inc: () => {} }),
  histogram: () => ({ observe: () => {} }),
  gauge: () => {},
  page: async () => undefined,
};

/** Loads the library and starts to count; includes the process's own figures (memory, CPU, event-loop lag). */
export async function createMetrics(): Promise<Metrics> {
  const prometheus = await import('prom-client');
  const registry: Registry = new prometheus.Registry();
  prometheus.collectDefaultMetrics({ register: registry });
  const common = (name: string, help: string) => ({ name, help, registers: [registry] });
  return {
    counter(name, help, labelNames = []) {
      const counter = new prometheus.Counter({ ...common(name, help), labelNames });
      return { inc: (labels = {}, by = 1) => counter.inc(labels, by) };
    },
    histogram(name, help, buckets, labelNames = []) {
      const histogram = new prometheus.Histogram({ ...common(name, help), labelNames, buckets: [...buckets] });
      return { observe: (value, labels = {}) => histogram.observe(labels, value) };
    },
    gauge(name, help, read) {
      new prometheus.Gauge({
        ...common(name, help),
        collect() {
          this.set(read());
        },
      });
    },
    page: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}
