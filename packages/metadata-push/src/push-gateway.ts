/**
 * [io] push-gateway: wakes devices for many relays. The direct providers behind an HTTP interface that relays of today already speak.
 */

import { runDaemon, type Service } from '#core';
import { createPushGateway } from './gateway-server.ts';
import { createDirect } from './providers/credentials.ts';
import { registerExpiry } from './push-metrics.ts';
import { Replaceable } from './replaceable.ts';

await runDaemon({
  name: 'push-gateway',
  summary: 'push notifications for many relays, over APNs, FCM, UBports and Web Push',
  listeners: { http: 'inet:127.0.0.1:9000' },
  start({ config, log, metrics }): Service {
    const direct = new Replaceable(createDirect(config, log));
    registerExpiry(metrics, () => direct.current);
    const gateway = createPushGateway({
      direct: () => direct.current,
      metrics,
      onCircuit: (service, change) =>
        log.warn(change === 'opened' ? 'push service fails: pushes to it wait' : 'push service is back', {
          provider: service,
        }),
    });
    return {
      open: () => gateway.open(),
      isIdle: () => gateway.isIdle(),
      reload: (next) => direct.replace(createDirect(next, log)),
      close: () => direct.close(),
    };
  },
});
