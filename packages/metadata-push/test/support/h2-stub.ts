/** An HTTP/2 service on loopback, with TLS: remembers every request and answers as its test says. */
import {
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import type { Certificate } from './certificates.ts';

export interface StubRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Subject of the client's certificate. */
  readonly client: string | undefined;
  /** Counts the connections from 0. */
  readonly connection: number;
}

export type StubAnswer = (stream: ServerHttp2Stream, request: StubRequest) => void;

export interface H2Stub {
  readonly origin: string;
  readonly requests: StubRequest[];
  readonly sessions: ServerHttp2Session[];
  answer: StubAnswer;
  close(): Promise<void>;
}

export interface H2StubOptions {
  /** The stub asks for a client certificate of this authority. */
  readonly clientCa?: string;
  readonly maxConcurrentStreams?: number;
  readonly port?: number;
}

export async function startH2Stub(t: Test, tls: Certificate, options: H2StubOptions = {}): Promise<H2Stub> {
  const { clientCa, maxConcurrentStreams = 1000, port = 0 } = options;
  const server = createSecureServer({
    ...tls,
    ...(clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
    settings: { maxConcurrentStreams },
  });
  const requests: StubRequest[] = [];
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on('sessionError', () => {});
  server.on('tlsClientError', () => {});
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    let body = '';
    stream.on('error', () => {});
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      body += chunk;
    });
    stream.on('end', () => {
      const session = stream.session as ServerHttp2Session | undefined;
      const certificate = (session?.socket as TLSSocket | undefined)?.getPeerCertificate() as
        | PeerCertificate
        | undefined;
      const client = certificate?.subject?.CN?.toString();
      const request: StubRequest = {
        method: String(headers[':method']),
        path: String(headers[':path']),
        headers,
        body,
        client,
        connection: session ? sessions.indexOf(session) : -1,
      };
      requests.push(request);
      stub.answer(stream, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = async () => {
    for (const session of sessions) session.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  const stub: H2Stub = {
    origin: `https://localhost:${(server.address() as AddressInfo).port}`,
    requests,
    sessions,
    answer: respond(200),
    close,
  };
  t.teardown(close);
  return stub;
}

/** Answers with a status and, if given, a JSON body. */
export function respond(status: number, body?: unknown, headers: Record<string, string> = {}): StubAnswer {
  return (stream) => {
    if (stream.destroyed) return;
    stream.respond({ ':status': status, ...headers });
    stream.end(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
  };
}
