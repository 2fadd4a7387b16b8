/**
 * The macros of one connection: named values the MTA sends ahead of each event, kept per stage.
 * Source: milter-protocol.txt SMFIC_MACRO; libmilter engine.c mi_clr_macros. When a stage comes again, its macros and those
 * of all later stages are dropped, so that a value never outlives what it was said of (a recipient's, a message's).
 * Values stay as bytes until one is asked for: most events of most messages never look.
 */

import { MilterProtocolError } from './errors.ts';
import * as P from './protocol.ts';

/**
 * Largest macro data of one stage, bytes. Postfix sends some 300 at connect; a client certificate's subject and issuer may
 * add a few thousand. With ten stages a connection holds at most 160 KiB of them.
 */
export const MAX_MACRO_BYTES = 16 * 1024;

/** Reads macros by their name on the wire: `i`, `j`, `{auth_authen}`, `{rcpt_addr}`. */
export interface Macros {
  /** The value set last, or undefined. A macro may be present and empty: `{mail_addr}` of the null sender. */
  get(name: string): string | undefined;
}

/** Stages in the order of an SMTP session; a body chunk and the end of message are one stage. */
const STAGES: ReadonlyMap<number, number> = new Map([
  [P.SMFIC_CONNECT, 0],
  [P.SMFIC_HELO, 1],
  [P.SMFIC_MAIL, 2],
  [P.SMFIC_RCPT, 3],
  [P.SMFIC_DATA, 4],
  [P.SMFIC_HEADER, 5],
  [P.SMFIC_EOH, 6],
  [P.SMFIC_BODY, 7],
  [P.SMFIC_BODYEOB, 8],
  [P.SMFIC_UNKNOWN, 9],
]);
const STAGE_COUNT = 10;
const MAIL_STAGE = 2;

interface StageMacros {
  readonly bytes: Buffer;
  /** Filled at the first look-up. */
  values: Map<string, string> | undefined;
}

/** The per-stage table. session.ts fills it; handlers see it as {@link Macros}. */
export class MacroTable implements Macros {
  readonly #stages: (StageMacros | undefined)[] = new Array(STAGE_COUNT).fill(undefined);
  /** The stage whose macros came last and whose command has not come yet. */
  #announced = -1;

  get(name: string): string | undefined {
    for (let stage = STAGE_COUNT - 1; stage >= 0; stage--) {
      const entry = this.#stages[stage];
      if (entry === undefined) continue;
      entry.values ??= decodeMacros(entry.bytes);
      const value = entry.values.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /**
   * Sets the macros of the stage that begins with `command`, and drops those of later stages. `bytes` is copied.
   *
   * @throws {MilterProtocolError} `command_malformed`, `macros_too_large`
   */
  set(command: number, bytes: Buffer): void {
    const stage = STAGES.get(command);
    if (stage === undefined)
      throw new MilterProtocolError('command_malformed', 'macros for a stage that does not exist');
    if (bytes.length > MAX_MACRO_BYTES) {
      throw new MilterProtocolError('macros_too_large', `${bytes.length} bytes of macros in one stage`);
    }
    this.#announced = stage;
    this.#dropFrom(stage + 1);
    // Postfix repeats the same macros ahead of every header and recipient: keep what is already decoded.
    const before = this.#stages[stage];
    if (before?.bytes.equals(bytes)) return;
    this.#stages[stage] = bytes.length === 0 ? undefined : { bytes: Buffer.from(bytes), values: undefined };
  }

  /**
   * The stage's command itself has come. Macros an earlier command of that stage left behind are dropped if this one
   * brought none: one recipient's `{rcpt_addr}` must never be read as the next one's.
   */
  enter(command: number): void {
    const stage = STAGES.get(command)!;
    this.#dropFrom(this.#announced === stage ? stage + 1 : stage);
    this.#announced = -1;
  }

  /** A message is over: what was said of it goes, the connection's macros stay. */
  endMessage(): void {
    this.#dropFrom(MAIL_STAGE);
  }

  /** Another SMTP client follows on this connection: everything goes. */
  clear(): void {
    this.#dropFrom(0);
  }

  #dropFrom(stage: number): void {
    this.#stages.fill(undefined, stage);
  }
}

/** Name NUL value NUL, repeated. A last name without a value counts as not set. */
function decodeMacros(bytes: Buffer): Map<string, string> {
  const strings = bytes.toString('latin1', 0, bytes.length - 1).split('\0');
  const values = new Map<string, string>();
  for (let i = 0; i + 1 < strings.length; i += 2) values.set(strings[i]!, strings[i + 1]!);
  return values;
}
