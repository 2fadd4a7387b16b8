/**
 * [io] `chatmailctl demo`: a whole relay on loopback that shows itself working. `npm run demo` runs it from a checkout.
 */

import { EXIT_CONFIG, EXIT_OK, ExitError } from '#core';
import { command, EXIT_CHECK_FAILED } from '../command.ts';
import { runDemo } from '../demo/demo.ts';
import { DemoError } from '../demo/demo-error.ts';
import { ensureDependencies } from '../demo/dependencies.ts';

export const demo = command({
  usage: `usage: chatmailctl demo [--once | --install-only]

A relay on loopback with its own Postfix and Dovecot in a temporary directory, shown working with real Delta Chat clients. It
stays up until Ctrl-C. Nothing else of this machine is touched, except that missing Debian packages are installed.

  --once           end after the steps; exits 0 when all passed, 1 when one did not
  --install-only   only install the Debian packages it needs
`,
  options: { once: { type: 'boolean' }, 'install-only': { type: 'boolean' } },
  words: [0, 0],
  async run(values, _words, { print, signal }) {
    try {
      if (values['install-only']) await ensureDependencies(print);
      else await runDemo({ once: values.once ?? false, print, signal });
      return EXIT_OK;
    } catch (error) {
      if (!(error instanceof DemoError)) throw error;
      throw new ExitError(error.code === 'step' ? EXIT_CHECK_FAILED : EXIT_CONFIG, error.message, { cause: error });
    }
  },
});
