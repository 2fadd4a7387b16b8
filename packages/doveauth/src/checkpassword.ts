/**
 * [io] Starts doveauth-checkpassword. Imports nothing before it can say what a failure means: Node ends with 1 when a module
 * cannot be loaded (a half-done upgrade), and 1 is a wrong password.
 */

/** EXIT_TEMPORARY of checkpassword-interface.ts, which may be what is missing. */
const EXIT_TEMPORARY = 111;

try {
  const { runCheckpassword } = await import('./checkpassword-program.ts');
  process.exitCode = await runCheckpassword();
} catch (error) {
  // Of a module and not of a login: the text may be shown.
  const { message } = error as Error;
  process.stderr.write(`doveauth-checkpassword: cannot start: ${message}; install chatmail-sidecars again\n`);
  process.exitCode = EXIT_TEMPORARY;
}
