/** [io] Runs a program to its end. */

import { spawn } from 'node:child_process';

export interface RunResult {
  /** Exit code; 128 and more when a signal ended it, 127 when it could not be started. */
  readonly code: number;
  /** Both outputs, in the order they came. */
  readonly output: string;
}

/** Never rejects: how the program ended is the result. */
export async function run(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<RunResult> {
  return await new Promise((resolve) => {
    let output = '';
    const child = spawn(command, args, { cwd: '/', env: options.env ?? process.env, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    child.once('error', (error) => resolve({ code: 127, output: `${output}${error.message}\n` }));
    child.once('close', (code, signal) => resolve({ code: signal ? 128 : (code ?? 0), output }));
  });
}
