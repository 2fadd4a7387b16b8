/**
 * nginx's part of a relay, where it is installed: /new, the pages of web.ts, and mail on port 443 for clients that get out on no
 * other port (nginx.org/en/docs; checked with 1.22 and 1.26). Two files that Debian's nginx.conf includes, beside whatever
 * else this web server serves; nothing of it is edited. No log of ours names a client.
 */

import type { Config } from '#core';
import { HEADER, type RelayLayout, type RenderedFiles } from '../layout.ts';
import { ACME_CHALLENGES } from '../production-layout.ts';
import { mtaStsPolicy, WEB_ROOT } from './web.ts';

/** Renders conf.d/chatmail.conf and, where port 443 is shared with mail, the stream that tells the protocols apart. */
export function renderNginx(config: Config, layout: RelayLayout): RenderedFiles {
  return {
    '/etc/nginx/conf.d/chatmail.conf': site(config, layout),
    ...(layout.behindWebServer
      ? { '/etc/nginx/modules-enabled/90-chatmail.conf': stream(layout, layout.behindWebServer) }
      : {}),
  };
}

/** Where today's stack has its iroh-relay, and where one beside ours belongs. */
const IROH_RELAY = '127.0.0.1:3340';

/** At a lower level than `alert` nginx tells which client a complaint is about. */
const NO_LOG = `access_log off;
  error_log syslog:server=unix:/dev/log alert;`;

function site(config: Config, layout: RelayLayout): string {
  const names = config.isIpRelay
    ? config.mail_domain
    : `${config.mail_domain} www.${config.mail_domain} mta-sts.${config.mail_domain}`;
  const policy = mtaStsPolicy(config);
  const root = config.www_folder === '' ? WEB_ROOT : config.www_folder;
  return `# ${HEADER}
server {
${listens(layout, '80')}\
  server_name ${names};
  ${NO_LOG}
  location ^~ /.well-known/acme-challenge/ {
    alias ${word(`${ACME_CHALLENGES}/`)};
  }
  # A client reaches a relay without a certified name over TLS too, and accepts its certificate.
  location / {
    return 301 https://${config.mail_domain}$request_uri;
  }
}

server {
${
  layout.behindWebServer
    ? `  # Behind the stream of modules-enabled/90-chatmail.conf, which tells who the client is.
  listen 127.0.0.1:${layout.behindWebServer.https} ssl proxy_protocol;
  set_real_ip_from 127.0.0.1;
  real_ip_header proxy_protocol;
`
    : listens(layout, '443 ssl')
}\
  server_name ${names};
  ${NO_LOG}
  server_tokens off;
  ssl_certificate ${word(layout.certificate.chain)};
  ssl_certificate_key ${word(layout.certificate.key)};
  ssl_protocols TLSv1.2 TLSv1.3;
  client_max_body_size 4k;
  root ${word(root)};

  location = /new {
${toDoveauth(layout)}
  }
  # On the QR codes of older relays.
  location = /cgi-bin/newemail.py {
${toDoveauth(layout)}
  }
  location = /.well-known/autoconfig/mail/config-v1.1.xml {
    default_type text/xml;
    alias ${WEB_ROOT}/autoconfig.xml;
  }
${
  policy.length === 0
    ? ''
    : `  location = /.well-known/mta-sts.txt {
    default_type text/plain;
    return 200 "${policy.map((line) => `${line}\\r\\n`).join('')}";
  }
`
}\
${isOurIrohRelay(config) ? IROH_LOCATIONS : ''}\
}
`;
}

/** Whether clients are sent to this host for the iroh relay: then it must be found here. */
function isOurIrohRelay({ iroh_relay, mail_domain }: Config): boolean {
  if (iroh_relay === '') return false;
  const { protocol, hostname, port } = new URL(iroh_relay);
  // A dot at the end keeps resolvers from their search list; iroh's own URLs have one.
  return protocol === 'https:' && port === '' && hostname.replace(/\.$/, '') === mail_domain;
}

/**
 * What iroh-relay answers: the relay itself, over WebSocket or (up to 0.35) a protocol of its own, and two probes of clients.
 * It is not told who they are. It pings a silent client after 20 s at most and hangs up on one that is gone, so nginx need not:
 * the time is that of the stream, through which these connections come too.
 */
const IROH_LOCATIONS = `  # iroh_relay in chatmail.ini names this host.
  location = /relay {
    proxy_pass http://${IROH_RELAY};
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    proxy_read_timeout 40m;
    proxy_send_timeout 40m;
  }
${['/ping', '/generate_204']
  .map(
    (path) => `  location = ${path} {
    proxy_pass http://${IROH_RELAY};
    proxy_http_version 1.1;
    proxy_set_header Host $host;
  }
`,
  )
  .join('')}`;

/** doveauth counts by client. Its socket for the web server has nothing but /new. */
function toDoveauth({ sockets }: RelayLayout): string {
  return [
    `proxy_pass http://unix:${sockets.new};`,
    'proxy_set_header Host $host;',
    'proxy_set_header X-Forwarded-For $remote_addr;',
    'proxy_set_header X-Real-IP $remote_addr;',
  ]
    .map((line) => `    ${line}`)
    .join('\n');
}

/** `imap` and `smtp` are what Delta Chat asks for in ALPN (RFC 7301) on port 443. */
function stream(layout: RelayLayout, ports: NonNullable<RelayLayout['behindWebServer']>): string {
  return `# ${HEADER}
stream {
  map $ssl_preread_alpn_protocols $chatmail_backend {
    ~\\bimap\\b 127.0.0.1:${ports.imaps};
    ~\\bsmtp\\b 127.0.0.1:${ports.submissions};
    default 127.0.0.1:${ports.https};
  }
  server {
${listens(layout, '443', '    ')}\
    ssl_preread on;
    proxy_protocol on;
    proxy_pass $chatmail_backend;
    # Sessions that idle say something every half hour at most.
    proxy_timeout 40m;
    error_log syslog:server=unix:/dev/log alert;
  }
}
`;
}

function listens({ ipv4Only }: RelayLayout, what: string, indent = '  '): string {
  return `${indent}listen ${what};\n${ipv4Only ? '' : `${indent}listen [::]:${what};\n`}`;
}

function word(path: string): string {
  return /^[\w/.@:+\-[\]]+$/.test(path) ? path : `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
