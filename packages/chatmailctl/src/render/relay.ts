/**
 * All files of an installed relay: chatmail.ini and the facts about the host in, paths and texts out. The same input always
 * gives the same output, so that `apply` can tell what has changed.
 */

import type { Config } from '#core';
import type { HostFacts, RenderedFile, RenderedFiles } from '../layout.ts';
import { productionLayout } from '../production-layout.ts';
import { renderDovecot23 } from './dovecot-2.3.ts';
import { renderDovecot24 } from './dovecot-2.4.ts';
import { renderJournald, renderSysctl } from './host.ts';
import { renderNginx } from './nginx.ts';
import { renderPostfix } from './postfix.ts';
import { renderSystemd } from './systemd.ts';
import { renderAcme, renderTlsUnits } from './tls.ts';
import { renderWeb } from './web.ts';

/** Renders them, sorted by path. */
export function renderRelay(config: Config, facts: HostFacts): RenderedFile[] {
  const layout = productionLayout(config, facts);
  const renderDovecot = facts.dovecot === '2.3' ? renderDovecot23 : renderDovecot24;
  const web = facts.nginx.installed
    ? [
        ...filesOf('nginx', renderNginx(config, layout)),
        ...filesOf('web', { ...renderWeb(config, layout.behindWebServer !== undefined), ...renderAcme(config) }),
      ]
    : [];
  return [
    ...filesOf('postfix', renderPostfix(layout)),
    ...filesOf('dovecot', renderDovecot(layout)),
    ...web,
    ...filesOf('systemd', { ...renderSystemd(config, facts, layout), ...renderTlsUnits(config, facts) }),
    ...filesOf('journald', renderJournald(config)),
    ...filesOf('sysctl', renderSysctl(layout)),
  ].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function filesOf(service: RenderedFile['service'], files: RenderedFiles): RenderedFile[] {
  return Object.entries(files).map(([path, text]) => ({ path, text, mode: 0o644, service }));
}
