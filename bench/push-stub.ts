/**
 * [io] A push service in a process of its own, for bench/push.ts: answers 200 after a time, counts, and says when each push came.
 * Arguments: `gateway`, or `apns CERTIFICATE KEY` for APNs over HTTP/2 and TLS. Prints `ready PORT`; on the line `DELAY_MS` on standard
 * input it answers after that long from then on and begins anew; on an empty line it prints `{ count, firstAt, lastAt, at }`,
 * times in ms since the epoch, `at` by token for the first 5,000.
 */

import { readFileSync } from 'node:fs';
import { createSecureServer, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

const MAX_TIMES = 5000;
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
/** What Apple allows once it has seen a valid token. */
const MAX_STREAMS = 1000;
let delayMs = 0;
let count = 0;
let firstAt = 0;
let lastAt = 0;
let at: Record<string, number> = {};

const clock = () => performance.timeOrigin + performance.now();

function take(token: string): void {
  lastAt = clock();
  if (count++ === 0) firstAt = lastAt;
  if (count <= MAX_TIMES) at[token] = lastAt;
}

function answer(work: () => void): void {
  if (delayMs === 0) work();
  else setTimeout(work, delayMs);
}

// node:http would cost as much CPU as the daemon under measurement, on the same two cores.
function gateway(): Server {
  return createServer((socket: Socket) => {
    let text = '';
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      for (;;) {
        const headEnd = text.indexOf('\r\n\r\n');
        if (headEnd < 0) return;
        const length = Number(/^content-length: (\d+)\r?$/im.exec(text.slice(0, headEnd + 2))?.[1] ?? 0);
        if (text.length < headEnd + 4 + length) return;
        take(text.slice(headEnd + 4, headEnd + 4 + length));
        text = text.slice(headEnd + 4 + length);
        answer(() => socket.write(ANSWER));
      }
    });
  });
}

function apns(certificate: string, key: string): Server {
  const server = createSecureServer({
    cert: readFileSync(certificate),
    key: readFileSync(key),
    settings: { maxConcurrentStreams: MAX_STREAMS },
  });
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    // The end of the body, which nobody reads, is the end of the request.
    stream.resume().on('end', () => {
      take(String(headers[':path']).slice('/3/device/'.length));
      answer(() => stream.destroyed || (stream as ServerHttp2Stream).respond({ ':status': 200 }, { endStream: true }));
    });
  });
  return server;
}

const [kind, certificate = '', key = ''] = process.argv.slice(2);
const server = kind === 'apns' ? apns(certificate, key) : gateway();
server.listen(0, '127.0.0.1', () => console.log(`ready ${(server.address() as AddressInfo).port}`));
createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === '') console.log(JSON.stringify({ count, firstAt, lastAt, at }));
  else {
    delayMs = Number(line);
    count = 0;
    at = {};
    console.log('set');
  }
});
