/**
 * [io] push-gateway: wakes devices for many relays. The direct providers behind an HTTP interface that relays of today already speak.
 */

import { runDaemon, type Service } from '#core';
import { createPushGateway } from './gateway-server.ts';
import { createDirect } from './providers/credentials.ts';
import { registerExpiry } from './push-metrics.ts';

/** After a reload, the old connections have this long for what is on them. */
const RETIRE_MS = 60_000;

await runDaemon({
  name: 'push-gateway',
  summary: 'push notifications for many relays, over APNs, FCM, UBports and Web Push',
  listeners: { http: 'inet:127.0.0.1:9000' },
  start({ config, log, metrics }): Service {
    let direct = createDirect(config, log);
    registerExpiry(metrics, () => direct);
    const gateway = createPushGateway({ direct: () => direct, metrics });
    return {
      open: () => gateway.open(),
      isIdle: () => gateway.isIdle(),
      reload(next) {
        const old = direct;
        direct = createDirect(next, log);
        setTimeout(() => void old.close(), RETIRE_MS).unref();
      },
      close: () => direct.close(),
    };
  },
});
