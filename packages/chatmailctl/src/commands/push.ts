/**
 * `chatmailctl push`: do pushes reach the phones?
 */

import { EXIT_OK } from '#core';
import { pushStats, type TokenReport, testPush } from '../accounts/metadata-client.ts';
import {
  CONFIG_HELP,
  CONFIG_OPTION,
  METADATA_HELP,
  METADATA_OPTION,
  openRelay,
  relayAddress,
} from '../accounts/relay-access.ts';
import { command, commandGroup, EXIT_CHECK_FAILED } from '../command.ts';

const OPTIONS = { json: { type: 'boolean' }, ...CONFIG_OPTION, ...METADATA_OPTION } as const;

const test = command({
  usage: `usage: chatmailctl push test ADDRESS [--json]

Sends a push to every device of an account, as a new message would, and waits up to 10 seconds for what the push service says.
Exits 0 when all were delivered, 1 when one was not or the account has no device.

  --json                   print one JSON document
${CONFIG_HELP}
${METADATA_HELP}
`,
  options: OPTIONS,
  words: [1, 1],
  async run(values, [word], { print }) {
    const { config, metadataSocket } = openRelay(values);
    const reports = await testPush(metadataSocket, relayAddress(config, word!));
    const isGood = reports.length > 0 && reports.every(({ outcome }) => outcome === 'delivered');
    if (values.json) print(JSON.stringify({ delivered: isGood, devices: reports }));
    else if (reports.length === 0) print(NO_DEVICE);
    else for (const [index, report] of reports.entries()) print(describeReport(index + 1, report));
    return isGood ? EXIT_OK : EXIT_CHECK_FAILED;
  },
});

const NO_DEVICE =
  'no device: this account has no push token. Delta Chat sets one when it connects with notifications allowed.';

/** A line an operator understands. */
export function describeReport(number: number, { kind, outcome, ms }: TokenReport): string {
  return `device ${number} (${kind}): ${explain(outcome)}, ${ms} ms`;
}

function explain(outcome: string): string {
  switch (outcome) {
    case 'delivered':
      return 'delivered to the push service';
    case 'dead':
      return 'the push service says that this device is gone; its token was removed';
    case 'waiting':
      return 'not tried within 10 s, because earlier pushes failed and the next try is still to come';
    case 'refused':
      return 'failed: the push service refuses our credentials; see chatmail.ini and journalctl -u metadata-push';
    case 'not-configured':
      return 'failed: there are no credentials for this push service in chatmail.ini';
    case 'malformed':
      return 'failed: the device has set a token that no push service knows';
    case 'undecrypted':
      return 'failed: the token is encrypted to a key that push_openpgp_keys does not have';
    default:
      return `failed (${outcome}); it is tried again, see journalctl -u metadata-push`;
  }
}

const stats = command({
  usage: `usage: chatmailctl push stats [--json]

Says what metadata-push has in its queue and what came of its pushes since it was started. Exits 1 when there are devices and no
push has reached one for a day.

  --json                   print one JSON document
${CONFIG_HELP}
${METADATA_HELP}
`,
  options: OPTIONS,
  words: [0, 0],
  async run(values, _words, { print }) {
    const { metadataSocket } = openRelay(values);
    const answer = await pushStats(metadataSocket);
    const exitCode = answer.isSilent ? EXIT_CHECK_FAILED : EXIT_OK;
    if (values.json) {
      print(JSON.stringify(answer));
      return exitCode;
    }
    print(`devices:         ${answer.tokens}`);
    print(`last delivered:  ${formatAge(answer.lastDeliveredSecondsAgo)} ago`);
    const oldest = answer.queueDepth === 0 ? '' : `, the oldest for ${formatAge(answer.queueOldestSeconds)}`;
    print(`waiting:         ${answer.queueDepth}${oldest}`);
    print(`since the start: ${formatAge(answer.uptimeSeconds)}`);
    for (const [provider, outcomes] of Object.entries(answer.pushes)) {
      const counts = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`);
      print(`  ${provider}: ${counts.join(', ')}`);
    }
    const { openCircuits } = answer;
    if (openCircuits.length > 0) print(`left alone for now, after failures: ${openCircuits.join(', ')}`);
    if (answer.isSilent)
      print('There are devices, and no push has been delivered for a day: see journalctl -u metadata-push.');
    return exitCode;
  },
});

/** Seconds as a person says them. */
export function formatAge(seconds: number): string {
  const rounded = Math.round(seconds);
  if (rounded < 120) return `${rounded} s`;
  if (rounded < 7200) return `${Math.round(rounded / 60)} min`;
  if (rounded < 172_800) return `${Math.round(rounded / 3600)} h`;
  return `${Math.round(rounded / 86_400)} days`;
}

export const push = commandGroup(
  `usage: chatmailctl push test|stats

  test ADDRESS   push to the devices of an account and say what came of it
  stats          what is queued and what was sent
`,
  { test, stats },
);
