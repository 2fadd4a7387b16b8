/**
 * [io] A milter on #milter that receives what filtermail receives and looks at none of it: what the library alone costs.
 * Usage: bare-milter.ts SOCKET
 */

import { type MilterHandler, MilterServer } from '#milter';

const handler: MilterHandler = {
  connect() {},
  mail() {},
  recipient() {},
  header() {},
  endOfHeaders() {},
  body() {},
  endOfMessage: () => ({ verdict: 'continue' }),
};

const { server } = new MilterServer({
  events: {
    connect: 'notify',
    mail: 'notify',
    recipient: 'notify',
    header: 'notify',
    endOfHeaders: 'notify',
    body: 'notify',
  },
  handler: () => handler,
  onError: (error, context) => console.error(context.kind, error),
});
server.listen({ path: process.argv[2]!, backlog: 1024 }, () => console.log('ready'));
