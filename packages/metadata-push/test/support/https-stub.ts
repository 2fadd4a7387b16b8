/** An HTTPS service on loopback: remembers every request and answers as its test says. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Test } from 'tap';
import type { Certificate } from './certificates.ts';

export interface HttpsRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpsStub {
  readonly port: number;
  readonly requests: HttpsRequest[];
  readonly sockets: Set<Socket>;
  answer: (response: ServerResponse, request: HttpsRequest) => void;
}

export async function startHttpsStub(t: Test, tls: Certificate): Promise<HttpsStub> {
  const server = createServer(tls, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const seen = {
        method: String(request.method),
        url: String(request.url),
        headers: request.headers,
        body: Buffer.concat(chunks),
      };
      stub.requests.push(seen);
      stub.answer(response, seen);
    });
  });
  server.on('secureConnection', (socket) => stub.sockets.add(socket));
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const stub: HttpsStub = {
    port: (server.address() as AddressInfo).port,
    requests: [],
    sockets: new Set(),
    answer: (response) => void response.end(),
  };
  return stub;
}

export const status =
  (code: number, headers: Record<string, string> = {}, body = '') =>
  (response: ServerResponse): void =>
    void response.writeHead(code, headers).end(body);
