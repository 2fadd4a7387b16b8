/**
 * Errors that end a program, and the exit codes of the daemon contract (docs/architecture.md).
 * The numbers are those of BSD sysexits(3), so that systemd units can tell a bad configuration from a crash.
 */

export const EXIT_OK = 0;
/** Wrong command line. */
export const EXIT_USAGE = 64;
/** A bug of ours: an error nobody handled. */
export const EXIT_BUG = 70;
/** A temporary failure: trying again later may help. */
export const EXIT_TEMPORARY = 75;
/** Wrong configuration: restarting cannot help (`RestartPreventExitStatus=78`). */
export const EXIT_CONFIG = 78;

/** An error whose text is written for the operator and which decides how the program ends. */
export class ExitError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ExitError';
    this.exitCode = exitCode;
  }
}

/** The command line is wrong: says which word, and what would be right. */
export class UsageError extends ExitError {
  constructor(message: string) {
    super(EXIT_USAGE, message);
    this.name = 'UsageError';
  }
}

/** Where in the configuration a value is wrong. */
export interface ConfigLocation {
  readonly file?: string | undefined;
  /** Line number, counted from 1. */
  readonly line?: number | undefined;
  readonly key?: string | undefined;
}

/** The configuration is wrong: names the file, the line and the key, and says what would be right. */
export class ConfigError extends ExitError {
  readonly location: ConfigLocation;

  constructor(message: string, location: ConfigLocation = {}, options?: ErrorOptions) {
    super(EXIT_CONFIG, formatLocation(location) + message, options);
    this.name = 'ConfigError';
    this.location = location;
  }
}

function formatLocation({ file, line, key }: ConfigLocation): string {
  const place = [file, line].filter((part) => part !== undefined).join(':');
  return [place, key].filter((part) => part !== undefined && part !== '').join(': ') + (place || key ? ': ' : '');
}

/** Exit code for whatever ended a program: 70 for anything that is not one of our own {@link ExitError}s. */
export function exitCodeOf(error: unknown): number {
  return error instanceof ExitError ? error.exitCode : EXIT_BUG;
}
