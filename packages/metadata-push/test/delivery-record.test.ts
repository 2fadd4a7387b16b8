import t from 'tap';
import { DeliveryRecord, SILENCE_MS } from '../src/delivery-record.ts';
import { openStores } from './fixtures/store.ts';

const NOW = 1_800_000_000_000;
const HOUR = 60 * 60 * 1000;

t.test('silence survives a restart', async (t) => {
  let stores = openStores(t);
  let record = new DeliveryRecord(stores.database, NOW);
  t.notOk(record.isSilent(NOW + SILENCE_MS - 1), 'a new relay has a day');
  t.ok(record.isSilent(NOW + SILENCE_MS));
  record.delivered(NOW + 2 * HOUR);
  record.delivered(NOW + 2 * HOUR + 1);
  t.notOk(record.isSilent(NOW + SILENCE_MS + HOUR), 'a delivery ends it');

  stores = await stores.reopen();
  record = new DeliveryRecord(stores.database, NOW + SILENCE_MS + HOUR);
  t.notOk(record.isSilent(NOW + SILENCE_MS + HOUR));
  t.ok(record.isSilent(NOW + SILENCE_MS + 2 * HOUR), 'the next process knows when the last one was');

  stores = await stores.reopen();
  record = new DeliveryRecord(stores.database, NOW - 100 * HOUR);
  t.ok(record.isSilent(NOW - 100 * HOUR + SILENCE_MS), 'a clock that was set back does not hide it');
});
