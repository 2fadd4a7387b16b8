/**
 * [io] `chatmailctl status`.
 */

import { styleText } from 'node:util';
import { EXIT_OK } from '#core';
import { openRelay } from '../accounts/relay-access.ts';
import { localHost } from '../apply/host.ts';
import { command, EXIT_CHECK_FAILED } from '../command.ts';
import { readHostFacts } from '../host-facts.ts';
import { productionLayout } from '../production-layout.ts';
import type { Check } from '../status/check.ts';
import { checkRelay } from '../status/checks.ts';
import { gatherFacts } from '../status/gather.ts';
import { type ProbeStep, probeRelay } from '../status/probe.ts';

const MARKS = { ok: ['ok', 'green'], warn: ['warn', 'yellow'], fail: ['FAIL', 'red'] } as const;

export const status = command({
  usage: `usage: chatmailctl status [--probe] [--json] [--config FILE]

Shows on one screen how the relay is, and what to do about what is wrong. Exit code 0: nothing is; 1: something is. Run it as root:
others see less.

  --probe         also use it as a client does: make a throw-away account, send it an encrypted message over TLS, time it, remove
                  the account again
  --json          one JSON document: {"ok", "checks": [{"name", "state", "text", "fix"}], "probe": [{"name", "ms", "trouble", "fix"}]}
  --config FILE   the chatmail.ini to read
`,
  options: { probe: { type: 'boolean' }, json: { type: 'boolean' }, config: { type: 'string' } },
  words: [0, 0],
  async run(values, _words, { print, signal }) {
    const relay = openRelay(values);
    const facts = await readHostFacts();
    const checks = checkRelay(
      relay.config,
      await gatherFacts(localHost(), relay.config, facts, Date.now()),
      Date.now(),
    );
    const { ports } = productionLayout(relay.config, facts);
    const probe = values.probe ? await probeRelay({ relay, ports, signal }) : undefined;
    const isGood =
      checks.every(({ state }) => state !== 'fail') && (probe ?? []).every(({ trouble }) => trouble === undefined);
    if (values.json) print(JSON.stringify({ ok: isGood, checks, ...(probe ? { probe } : {}) }));
    else {
      print(`${relay.config.mail_domain}`);
      for (const line of [...checks.flatMap(formatCheck), ...(probe ? formatProbe(probe) : [])]) print(line);
    }
    return isGood ? EXIT_OK : EXIT_CHECK_FAILED;
  },
});

function formatCheck({ name, state, text, fix }: Check): string[] {
  return [`${mark(state)} ${name.padEnd(14)} ${text}`, ...formatFix(fix)];
}

function formatFix(fix: string | undefined): string[] {
  return fix === undefined ? [] : [`${' '.repeat(20)}-> ${fix}`];
}

function formatProbe(steps: readonly ProbeStep[]): string[] {
  const rows = steps.flatMap(({ name, ms, trouble, fix }) => {
    if (trouble === undefined) return [`${mark('ok')} ${name.padEnd(21)} ${ms} ms`];
    return [`${mark('fail')} ${name.padEnd(21)} ${trouble}`, ...formatFix(fix)];
  });
  return ['', 'as a client:', ...rows];
}

function mark(state: Check['state']): string {
  const [word, color] = MARKS[state];
  // Leaves colours out where the output is no terminal, or NO_COLOR says so.
  return styleText(color, word.padEnd(4), { stream: process.stdout });
}
