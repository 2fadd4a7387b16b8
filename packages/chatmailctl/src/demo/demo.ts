/**
 * [io] `chatmailctl demo [--once]`: a relay on loopback that shows itself working, one line per step, and then stays up to
 * be tried. Whatever way it ends, nothing of it is left.
 */

import { renderUnicodeCompact } from 'uqr';
import { DemoError } from './demo-error.ts';
import { ensureDependencies } from './dependencies.ts';
import { median } from './measure.ts';
import { inventCredentials, loginLink, type Relay, startRelay } from './relay.ts';
import {
  type Delivery,
  exchange,
  expireAged,
  logIn,
  meet,
  type Participant,
  pushOnMessages,
  tryForbidden,
} from './steps.ts';
import { StubGateway } from './stub-gateway.ts';

export interface DemoOptions {
  /** End after the steps. */
  readonly once: boolean;
  readonly print: (line: string) => void;
  /** Ends the demo early. */
  readonly signal: AbortSignal;
}

/** Messages each way in step 2. */
const MESSAGES_EACH = 5;

/** A push must be on its way this soon after its message has arrived, ms. */
const PUSH_MS = 50;
/** Messages in step 4. Their median is judged: on a busy machine a single one says little. */
const PUSHES = 3;

/**
 * Runs the demo to its end.
 *
 * @throws DemoError saying what does not work
 */
export async function runDemo({ once, print, signal }: DemoOptions): Promise<void> {
  await ensureDependencies(print);
  const gateway = await StubGateway.start();
  let relay: Relay | undefined;
  try {
    relay = await untilAborted(startRelay({ gatewayUrl: gateway.url }), signal, (late) => late.stop());
    announce(relay, print);
    await untilAborted(showSteps(relay, gateway, print), signal);
    print('all steps passed');
    if (once) return;
    await Promise.all(relay.clients.map((client) => client.stop()));
    print('The relay stays up for you to try, on this machine; Ctrl-C ends it and removes all of it.');
    await untilAborted(someProgramEnds(relay), signal);
  } catch (error) {
    if (!(error instanceof Aborted)) throw error;
  } finally {
    await relay?.stop();
    await gateway.stop();
  }
}

function announce(relay: Relay, print: (line: string) => void): void {
  const { layout, directory } = relay;
  const { imaps, submissions, smtp } = layout.ports;
  const link = loginLink(layout, inventCredentials(layout));
  print(
    `relay ready domain=${layout.addressDomain} imaps=${imaps} submissions=${submissions} smtp=${smtp} dir=${directory}`,
  );
  print(link);
  print(renderUnicodeCompact(link));
}

async function showSteps(relay: Relay, gateway: StubGateway, print: (line: string) => void): Promise<void> {
  let alice!: Participant;
  let bob!: Participant;
  const step = async (title: string, work: () => Promise<string>) => {
    const startMs = performance.now();
    const seen = await work();
    print(`${title}: ${seen} (${Math.round(performance.now() - startMs)} ms)`);
  };
  await step('1. accounts', async () => {
    const { imapRefusal, smtpRefusal, ...participants } = await logIn(relay);
    ({ alice, bob } = participants);
    must(imapRefusal.startsWith('NO [AUTHENTICATIONFAILED]'), `IMAP answers a wrong password with: ${imapRefusal}`);
    must(smtpRefusal.code === 535, `submission answers a wrong password with: ${smtpRefusal.code} ${smtpRefusal.text}`);
    return 'two Delta Chat clients got theirs by logging in; a wrong password is refused';
  });
  await step('2. messages', async () => {
    await meet(alice, bob);
    const deliveries = await exchange(relay, alice, bob, MESSAGES_EACH);
    must(
      deliveries.every(({ padlock }) => padlock),
      'a message came without padlock',
    );
    return `securejoin, then ${deliveries.length} messages, all with padlock; ${describeTimes(deliveries)}`;
  });
  await step('3. refusals', async () => {
    const { clearTextOutgoing, clearTextIncoming, forgedFrom, forgedSender } = await tryForbidden(
      relay,
      alice.credentials,
      bob.credentials,
    );
    must(clearTextOutgoing.code === 523, `clear text on submission got ${clearTextOutgoing.code}`);
    must(clearTextIncoming.code === 523, `clear text on the incoming port got ${clearTextIncoming.code}`);
    must(forgedFrom.code >= 500, `a forged From got ${forgedFrom.code}`);
    must(forgedSender.code >= 500, `a forged envelope sender got ${forgedSender.code}`);
    return `clear text gets 523 on both ways in; a forged From gets ${forgedFrom.code}`;
  });
  await step('4. push', async () => {
    const pushes = await pushOnMessages(relay, gateway, alice, bob, PUSHES);
    must(
      pushes.every(({ body, token }) => body === token),
      'the gateway was posted something else than the device token',
    );
    const afterDeliveryMs = median(pushes.map((push) => push.afterDeliveryMs));
    must(
      afterDeliveryMs <= PUSH_MS,
      `of ${PUSHES} pushes half came later than ${afterDeliveryMs.toFixed(1)} ms after delivery`,
    );
    return `the device token is at the gateway ${afterDeliveryMs.toFixed(1)} ms after delivery (p50 of ${PUSHES})`;
  });
  await step('5. expiry', async () => {
    const { delivered, afterDryRun, afterRemove } = await expireAged(relay);
    must(delivered === 2 && afterDryRun === 2, `of ${delivered} messages a dry run left ${afterDryRun}`);
    must(afterRemove === 1, `chatmail-expire --remove left ${afterRemove} messages, not 1`);
    return 'chatmail-expire --remove took the aged message and left the other';
  });
}

function describeTimes(deliveries: readonly Delivery[]): string {
  const total = median(deliveries.map(({ deliveryMs }) => deliveryMs));
  const own = median(deliveries.map(({ ownMs }) => Object.values(ownMs).reduce((sum, ms) => sum + ms, 0)));
  const daemons = Object.keys(deliveries[0]?.ownMs ?? {}).join(', ');
  return `p50 ${total.toFixed(0)} ms from send to receive, ${own.toFixed(1)} ms of it in ${daemons}`;
}

function must(holds: boolean, otherwise: string): void {
  if (!holds) throw new DemoError('step', `${otherwise}.`);
}

async function someProgramEnds(relay: Relay): Promise<never> {
  const how = await Promise.race(relay.programs.map(async (program) => `${program.name} ${await program.ended}`));
  throw new DemoError('start', `${how} while the demo was up.`);
}

class Aborted extends Error {}

/**
 * Waits for work unless the demo is ended meanwhile.
 *
 * @param undo takes back what the work brings about after all, and is waited for
 */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal, undo?: (late: T) => Promise<void>): Promise<T> {
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(new Aborted());
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([work, aborted]);
  } catch (error) {
    // Work that is cut off fails later for that reason alone.
    const late = work.then(undo, () => {});
    if (error instanceof Aborted && undo) await late;
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
