/**
 * One line of `status`: how a part of the relay is and, where something is wrong, what to do about it. Pure.
 */

export interface Check {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly text: string;
  /** What to do. */
  readonly fix?: string;
}

/** A part that is as it should be. */
export const ok = (name: string, text: string): Check => ({ name, state: 'ok', text });
/** A part that works, but not for long, or not for everybody. */
export const warn = (name: string, text: string, fix: string): Check => ({ name, state: 'warn', text, fix });
/** A part that does not work. */
export const fail = (name: string, text: string, fix: string): Check => ({ name, state: 'fail', text, fix });
