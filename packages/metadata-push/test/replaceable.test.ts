import t from 'tap';
import { Replaceable } from '../src/replaceable.ts';
import { until } from './fixtures/pusher.ts';

const closable = () => {
  const it = {
    isClosed: false,
    close: async () => {
      it.isClosed = true;
    },
  };
  return it;
};

t.test('what was replaced closes when its time is over, or with the one there is', async (t) => {
  const [first, second, third] = [closable(), closable(), closable()];
  const patient = new Replaceable(first);
  patient.replace(second);
  t.equal(patient.current, second);
  t.notOk(first.isClosed);
  await patient.close();
  t.ok(first.isClosed && second.isClosed);

  const hasty = new Replaceable(closable(), 1);
  const old = hasty.current;
  hasty.replace(third);
  t.ok(await until(() => old.isClosed));
  t.notOk(third.isClosed);
});
