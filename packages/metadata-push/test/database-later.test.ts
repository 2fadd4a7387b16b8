import t from 'tap';
import { newPush } from '../src/schedule.ts';
import { openStores } from './fixtures/store.ts';

const KEY = { account: 'anna@example.org', tokenId: 'a' };
const NOW = 1_800_000_000_000;
const ITEM = newPush(NOW);

t.test('a removal that can wait', async (t) => {
  const { queue } = openStores(t);
  await queue.put(KEY, newPush(NOW));
  const removed = queue.removeLater(KEY, ITEM);
  t.equal(queue.get(KEY), undefined, 'is seen at once');
  t.equal(queue.depth(), 1, 'but not written yet');
  await removed;
  t.equal(queue.depth(), 0, 'soon it is, without another write');
  t.equal(queue.nextDueAt(0), undefined, 'from all indexes');
});

t.test('happens before what is asked for after it', async (t) => {
  const { queue } = openStores(t);
  await queue.put(KEY, newPush(NOW));
  const removed = queue.removeLater(KEY, ITEM);
  await queue.put(KEY, newPush(NOW + 5));
  t.match(queue.get(KEY), { queuedAt: NOW + 5 }, 'the next push of the same token stays');
  t.equal(queue.oldestQueuedAt(), NOW + 5);
  await removed;
  t.equal(queue.depth(), 1);
});

t.test('is done before the database closes', async (t) => {
  const stores = openStores(t);
  await stores.queue.put(KEY, newPush(NOW));
  void stores.queue.removeLater(KEY, ITEM);
  const later = await stores.reopen();
  t.equal(later.queue.depth(), 0);
});
