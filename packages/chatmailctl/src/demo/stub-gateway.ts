/**
 * [io] A push gateway that pushes nowhere: it notes what it was posted and when, and says 200. For showing and testing that
 * metadata-push reaches a gateway; the real one is the push-gateway daemon.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from './wait.ts';

export interface GatewayPost {
  readonly path: string;
  readonly body: string;
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
}

export class StubGateway {
  readonly posts: GatewayPost[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const atMs = performance.now();
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.method === 'POST') {
          this.posts.push({ path: request.url ?? '', body: Buffer.concat(chunks).toString(), atMs });
        }
        response.writeHead(request.method === 'POST' ? 200 : 405).end();
      });
    });
  }

  static async start(): Promise<StubGateway> {
    const gateway = new StubGateway();
    gateway.#server.listen({ host: '127.0.0.1', port: 0 });
    await once(gateway.#server, 'listening');
    return gateway;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/notify`;
  }

  /** The first post of `token` not before `sinceMs`. Rejects after `timeoutMs`. */
  async waitForToken(token: string, sinceMs: number, timeoutMs: number): Promise<GatewayPost> {
    const find = () => this.posts.find((post) => post.body === token && post.atMs >= sinceMs);
    await until(() => find() !== undefined, timeoutMs);
    return find()!;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}
