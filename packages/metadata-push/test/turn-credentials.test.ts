import t from 'tap';
import { makeTurnCredentials } from '../src/turn-credentials.ts';

t.test('TURN credentials', async (t) => {
  // printf 1800432000 | openssl dgst -sha1 -hmac north-wind-0123456 -binary | base64
  t.equal(makeTurnCredentials('north-wind-0123456', 1_800_000_000_900), '1800432000:oIxbQrreQ/q2QqkqKy4rOv3aCHI=');
  t.not(
    makeTurnCredentials('another-secret-012', 1_800_000_000_900),
    makeTurnCredentials('north-wind-0123456', 1_800_000_000_900),
    'nothing but the secret makes them valid',
  );
});
