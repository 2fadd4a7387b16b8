/**
 * [io] Messages of a real Delta Chat core, caught where Postfix hands them to filtermail. Needs root, as the demo relay does.
 */

import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Relay, startRelay } from '../../../packages/chatmailctl/src/demo/relay.ts';
import { StubGateway } from '../../../packages/chatmailctl/src/demo/stub-gateway.ts';
import { ChatAccount } from '../../e2e/chat-account.ts';
import { MilterTap, type TappedMessage } from '../../e2e/milter-tap.ts';
import { crlf, type Entry, encrypted, FROM } from './entry.ts';

export async function deltaChatEntries(): Promise<Entry[]> {
  const gateway = await StubGateway.start();
  const relay = await startRelay({ gatewayUrl: gateway.url });
  const tap = await MilterTap.insert(relay.layout.sockets.outgoing!);
  try {
    const caught: [name: string, message: TappedMessage][] = [];
    const name = async (what: string) => {
      // What answers by itself may still be on its way.
      await sleep(1500);
      const messages = tap.messages.slice(caught.length);
      for (const [i, message] of messages.entries()) {
        caught.push([messages.length === 1 ? what : `${what}-${i + 1}`, message]);
      }
    };
    await talk(relay, name);
    return caught.map(([what, message]) => entryOf(what, message));
  } finally {
    await relay.stop();
    tap.close();
    await gateway.stop();
  }
}

async function talk(relay: Relay, name: (what: string) => Promise<void>): Promise<void> {
  const [alice, bob] = await Promise.all([ChatAccount.start('Alice', relay), ChatAccount.start('Bob', relay)]);
  const [ofAlice, ofBob] = await alice.meet(bob);
  await name('securejoin');

  await alice.send(ofAlice, { text: 'hello' });
  const hello = await bob.receive(({ text }) => text === 'hello');
  await name('text');
  await bob.rpc.markseenMsgs(bob.id, [hello.id]);
  await name('read-receipt');
  const reply = await bob.send(ofBob, { text: 'back', quotedMessageId: hello.id });
  await name('quote');
  await bob.rpc.sendReaction(bob.id, hello.id, ['+1']);
  await name('reaction');
  await bob.rpc.sendEditRequest(bob.id, reply, 'forth');
  await name('edit');
  await bob.rpc.deleteMessagesForAll(bob.id, [reply]);
  await name('delete');

  for (const [what, bytes] of [
    ['file', 15_000],
    ['large-file', 150_000],
  ] as const) {
    const file = `${relay.directory}/${what}`;
    await writeFile(file, randomBytes(bytes));
    await alice.send(ofAlice, { file, filename: 'noon.bin', viewtype: 'File' });
    await bob.receive(({ fileBytes, downloadState }) => fileBytes === bytes && downloadState === 'Done');
    await name(what);
  }
  await alice.send(ofAlice, { text: 'long '.repeat(2000) });
  await name('long-text');
  await alice.send(ofAlice, { location: [52.5, 13.4] });
  await name('location');

  const group = await alice.rpc.createGroupChat(alice.id, 'Group', true);
  const [contact] = (await alice.rpc.getChatContacts(alice.id, ofAlice)).filter((id) => id !== 1);
  await alice.rpc.addContactToChat(alice.id, group, contact!);
  await alice.send(group, { text: 'to all' });
  const toAll = await bob.receive(({ text }) => text === 'to all');
  await bob.rpc.acceptChat(bob.id, toAll.chatId);
  await name('group');
  await alice.rpc.setChatName(alice.id, group, 'Other group');
  await name('group-name');
  await alice.rpc.removeContactFromChat(alice.id, group, contact!);
  await name('group-member-removed');
  const channel = await alice.rpc.createBroadcast(alice.id, 'Channel');
  await bob.rpc.secureJoin(bob.id, await alice.rpc.getChatSecurejoinQrCode(alice.id, channel));
  await sleep(4000);
  await name('channel-join');
  await alice.send(channel, { text: 'to the channel' });
  await name('channel');

  const [carol, dave] = await Promise.all([ChatAccount.start('Carol', relay), ChatAccount.start('Dave', relay)]);
  const older = async (chat: number | null) =>
    (await carol.rpc.getChatSecurejoinQrCode(carol.id, chat)).replace('&v=3', '');
  await dave.rpc.secureJoin(dave.id, await older(null));
  await sleep(4000);
  await name('older-securejoin');
  await dave.rpc.secureJoin(dave.id, await older(await carol.rpc.createGroupChat(carol.id, 'Group', true)));
  await sleep(4000);
  await name('older-securejoin-group');
}

/** As from alice@relay.test; the addresses inside the ciphertext are those of accounts that are gone. */
function entryOf(what: string, { header, body }: TappedMessage): Entry {
  const fields = header.map(([name, value]) => (name === 'From' ? FROM : `${name}: ${value}`));
  const text = `${crlf(fields.join('\n'))}\r\n\r\n${body.toString('latin1')}`;
  const entry = encrypted(`deltachat-${what}`, `Delta Chat: ${what.replaceAll('-', ' ')}`, text);
  const isClear = header.some(([name]) => name === 'Secure-Join');
  return isClear ? { ...entry, outgoing: 'securejoin', incoming: 'securejoin' } : entry;
}
