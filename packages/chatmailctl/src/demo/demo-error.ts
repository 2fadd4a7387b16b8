/**
 * What can keep a demo from running, or from showing what it should. The message is one whole sentence for the person at
 * the terminal; what is not a DemoError is a bug and shows its stack.
 */

/**
 * - `host`: this machine, or this account on it, cannot run the demo
 * - `install`: a package could not be installed
 * - `start`: a server did not come up
 * - `step`: the relay runs, but did not do what it should
 */
export type DemoErrorCode = 'host' | 'install' | 'start' | 'step';

export class DemoError extends Error {
  override readonly name = 'DemoError';
  readonly code: DemoErrorCode;

  constructor(code: DemoErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
