/**
 * [io] The log: one JSON object per line on standard error, each line with the `<N>` priority prefix journald understands
 * (sd-daemon(3)). Privacy is in the types: {@link LogFields} has no place for an address, IP, token, subject or Message-ID,
 * and of an error only its class, code and stack frames are written, because messages quote paths and user input.
 * No library, because there is nothing to it: pino took 6 MB of every daemon.
 */

import { writeSync } from 'node:fs';

/** Number of each level in the lines, as pino and bunyan have them, and its syslog priority (RFC 5424 section 6.2.1). */
const LEVELS = {
  trace: { level: 10, priority: 7 },
  debug: { level: 20, priority: 7 },
  info: { level: 30, priority: 6 },
  warn: { level: 40, priority: 4 },
  error: { level: 50, priority: 3 },
  fatal: { level: 60, priority: 2 },
} as const;
type Level = keyof typeof LEVELS;

/** How often and how long a line waits for a reader that is slow (EAGAIN), ms; then it is lost. */
const WRITE_ATTEMPTS = 2;
const WRITE_PAUSE_MS = 4;
/** So long after a line was lost none waits again, ms: a reader that is stuck must not hold up the event loop line by line. */
const NO_WAIT_MS = 1000;

export type LogLevel = Level | 'silent';
export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
export const DEFAULT_LOG_LEVEL: LogLevel = 'info';

/** Everything a log line may say besides its message. New fields need a reason why they cannot identify anybody. */
export interface LogFields {
  /** Postfix queue id: the only handle to one message. */
  readonly queueId?: string | undefined;
  /** A fixed code of ours, never text from outside. */
  readonly reason?: string;
  readonly listener?: string;
  readonly provider?: string;
  readonly count?: number;
  readonly bytes?: number;
  readonly ms?: number;
  readonly error?: unknown;
}

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Takes whole lines. */
export interface LogStream {
  write(line: string): void;
}

/** Creates the log. `stream` is standard error unless a test wants to read it. */
export function createLogger(threshold: LogLevel = DEFAULT_LOG_LEVEL, stream: LogStream = STANDARD_ERROR): Logger {
  const lowest = threshold === 'silent' ? Number.POSITIVE_INFINITY : LEVELS[threshold].level;
  const writer = (name: 'debug' | 'info' | 'warn' | 'error') => {
    const { level, priority } = LEVELS[name];
    if (level < lowest) return () => {};
    return (msg: string, fields?: LogFields) => {
      const safe = fields?.error === undefined ? fields : { ...fields, ...errorFields(fields.error) };
      stream.write(`<${priority}>${JSON.stringify({ level, ...safe, msg })}\n`);
    };
  };
  return { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') };
}

/** Synchronous: a daemon that is killed has already written why. A log nobody takes is no reason to end. */
const STANDARD_ERROR: LogStream = {
  write(line) {
    let bytes: Uint8Array = Buffer.from(line);
    const attempts = performance.now() < noWaitUntilMs ? 1 : WRITE_ATTEMPTS;
    for (let attempt = 1; bytes.length > 0 && attempt <= attempts; attempt++) {
      try {
        bytes = bytes.subarray(writeSync(2, bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
        if (attempt < attempts) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WRITE_PAUSE_MS);
      }
    }
    if (bytes.length > 0) noWaitUntilMs = performance.now() + NO_WAIT_MS;
  },
};
let noWaitUntilMs = 0;

/** What may be said of an error: its class, its code, the system call, and where in our code it came from. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: typeof error };
  const { name, code, syscall } = error as NodeJS.ErrnoException;
  // The stack begins with the message, and a line of that may look like a frame.
  const stack = typeof error.stack === 'string' ? error.stack : '';
  const message = String(error.message);
  const at = stack
    .slice(stack.indexOf(message) + message.length)
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 4)
    .map((line) => line.trim().replace(/^at /, ''));
  return { error: word(name) ?? 'Error', code: word(code), syscall: word(syscall), at };
}

/** A name or a code, as they are in errors of Node and of ours; whatever else a library puts there may be anything. */
function word(value: unknown): string | number | undefined {
  return typeof value === 'number' || (typeof value === 'string' && /^[\w.:-]{1,60}$/.test(value)) ? value : undefined;
}
