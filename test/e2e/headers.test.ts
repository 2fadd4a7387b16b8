/**
 * What of a message's header leaves with `outgoing_headers = minimal`, and that Delta Chat misses nothing: securejoin in its
 * present and its older form, texts, quotes, files, groups, reactions and read receipts between real clients.
 */

import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import t from 'tap';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { StubGateway } from '../../packages/chatmailctl/src/demo/stub-gateway.ts';
import { ChatAccount } from './chat-account.ts';
import { MilterTap, type TappedMessage } from './milter-tap.ts';

t.setTimeout(240_000);
await ensureDependencies((line) => t.comment(line));
const gateway = await StubGateway.start();
const relay = await startRelay({ gatewayUrl: gateway.url });
const tap = await MilterTap.insert(relay.layout.sockets.outgoing!);
t.teardown(async () => {
  await relay.stop();
  tap.close();
  await gateway.stop();
});

/** The edits of a message, as `Name=value` or `-Name`. */
function edits({ replies }: TappedMessage): string[] {
  return replies.flatMap((reply) => {
    if (reply.type === 'changeHeader') return reply.value === '' ? `-${reply.name}` : `${reply.name}=${reply.value}`;
    return reply.type === 'continue' || reply.type === 'accept' ? [] : reply.type;
  });
}

const [alice, bob] = await Promise.all([ChatAccount.start('Alice', relay), ChatAccount.start('Bob', relay)]);

t.test('encrypted messages leave with the header the client gave them', async (t) => {
  const [ofAlice, ofBob] = await alice.meet(bob);

  await alice.send(ofAlice, { text: 'hello' });
  const hello = await bob.receive(({ text }) => text === 'hello');
  t.ok(hello.showPadlock, 'a text');
  await bob.rpc.markseenMsgs(bob.id, [hello.id]);
  await alice.event('MsgRead');

  await bob.send(ofBob, { text: 'back', quotedMessageId: hello.id });
  const { quote } = await alice.receive(({ text }) => text === 'back');
  t.match(quote, { kind: 'WithMessage', text: 'hello' }, 'a reply knows its message');

  for (const [filename, bytes] of [
    ['small.bin', 20_000],
    // Above 140 kB a client sends two messages: one that announces the other.
    ['large.bin', 300_000],
  ] as const) {
    const file = `${relay.directory}/${filename}`;
    await writeFile(file, randomBytes(bytes));
    await alice.send(ofAlice, { text: filename, file, filename, viewtype: 'File' });
    const arrived = await bob.receive((message) => message.fileName === filename && message.downloadState === 'Done');
    t.equal(arrived.fileBytes, bytes, filename);
  }

  const group = await alice.rpc.createGroupChat(alice.id, 'Group', true);
  const [contact] = (await alice.rpc.getChatContacts(alice.id, ofAlice)).filter((id) => id !== 1);
  await alice.rpc.addContactToChat(alice.id, group, contact!);
  await alice.send(group, { text: 'to all' });
  const toAll = await bob.receive(({ text }) => text === 'to all');
  const { name, isEncrypted } = await bob.rpc.getFullChatById(bob.id, toAll.chatId);
  t.same([name, isEncrypted], ['Group', true], 'a group');
  await bob.rpc.acceptChat(bob.id, toAll.chatId);
  await bob.rpc.sendReaction(bob.id, toAll.id, ['+1']);
  await alice.event('IncomingReaction');

  for (const message of tap.messages) t.same(edits(message), [], 'nothing is taken from it');
  t.ok(tap.messages.length >= 12, `${tap.messages.length} messages`);
  const names = new Set(tap.messages.flatMap(({ header }) => header.map(([name]) => name.toLowerCase())));
  const expected = ['chat-is-post-message', 'chat-version', 'content-type', 'date', 'from', 'message-id'];
  t.same([...names].sort(), [...expected, 'mime-version', 'subject', 'to'], 'all there is');
});

t.test('the securejoin of older clients, which begins in clear text', async (t) => {
  const already = tap.messages.length;
  const [carol, dave] = await Promise.all([ChatAccount.start('Carol', relay), ChatAccount.start('Dave', relay)]);
  const invitation = await carol.rpc.getChatSecurejoinQrCode(carol.id, null);
  t.match(invitation, '&v=3');
  const chat = await dave.rpc.secureJoin(dave.id, invitation.replace('&v=3', ''));
  await Promise.all([
    carol.event('SecurejoinInviterProgress', ({ progress }) => progress === 1000),
    dave.event('SecurejoinJoinerProgress', ({ progress }) => progress === 1000),
  ]);
  await dave.send(chat, { text: 'we have met' });
  t.ok((await carol.receive(({ text }) => text === 'we have met')).showPadlock);

  const request = tap.messages.slice(already).find(({ header }) => header.some(([name]) => name === 'Secure-Join'))!;
  t.same(edits(request), ['To="hidden-recipients": ;', 'Subject=[...]', '-References']);
});
