/**
 * [io] How long our own daemons took: read from their metrics listeners, which count the time from the moment a request of
 * Postfix or Dovecot has arrived to the moment its answer is written. The difference of two readings around one message is
 * that message's share, as long as nothing else goes on.
 */

import { get } from 'node:http';
import { DemoError } from './demo-error.ts';

/** Seconds each daemon has spent on requests since it started; one that does not count them is not named. */
export type BusySeconds = Readonly<Record<string, number>>;

/**
 * Reads how busy the daemons have been.
 *
 * @param metricsSockets by daemon name
 * @throws DemoError `step` when one does not answer
 */
export async function readBusySeconds(metricsSockets: Readonly<Record<string, string>>): Promise<BusySeconds> {
  const readings = await Promise.all(
    Object.entries(metricsSockets).map(async ([name, path]): Promise<[string, number | undefined]> => {
      return [name, busySecondsOf(await fetchMetrics(name, path))];
    }),
  );
  return Object.fromEntries(readings.filter((reading): reading is [string, number] => reading[1] !== undefined));
}

/** The histograms that count all of a daemon's work for others, each moment once. */
const BUSY = /^(?:filtermail_message|doveauth_request|metadata_push_request)_seconds_sum(?:\{.*\})? (\S+)$/;

/** Adds up the busy time on a metrics page (Prometheus text format); `undefined` where it is not counted. */
export function busySecondsOf(page: string): number | undefined {
  const values = page.split('\n').flatMap((line) => BUSY.exec(line)?.[1] ?? []);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + Number(value), 0);
}

async function fetchMetrics(name: string, socketPath: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const failed = (cause: unknown) => reject(new DemoError('step', `${name} does not show its metrics.`, { cause }));
    get({ socketPath, path: '/metrics', timeout: 5000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => (response.statusCode === 200 ? resolve(text) : failed(response.statusCode)));
    }).once('error', failed);
  });
}

/** The value half of all values do not exceed; of an even number the lower of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
}
