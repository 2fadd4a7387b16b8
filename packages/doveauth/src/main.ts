/**
 * [io] doveauth: accounts that exist the moment someone logs in. Serves Dovecot 2.3 over its dict protocol: passdb, userdb
 * and iteration on the socket `auth`, last logins on `lastlogin`; on `http` the Lua script of Dovecot 2.4; on `new` the web
 * server's `/new`. Wiring only.
 */

import { type Config, type DaemonServer, runDaemon } from '#core';
import { createDictServer, type DictServerOptions } from '#dovecot-dict';
import { openAccountStore } from './account-store.ts';
import { type AccountSettings, Accounts } from './accounts.ts';
import { createAuthErrorReply, createAuthHandler, createLastLoginHandler } from './handler.ts';
import { Hasher } from './hasher.ts';
import { createHttpHandler, createNewHandler } from './http-handler.ts';
import { createHttpServer } from './http-server.ts';
import { DiskInvitationStore } from './invitation-store.ts';
import { Newcomers } from './newcomers.ts';
import { createOperatorAccount } from './operator-account.ts';
import { loadRandomness } from './randomness.ts';
import { readHostState } from './sysload.ts';

await runDaemon({
  name: 'doveauth',
  summary: 'creates and looks up the accounts of a chatmail relay',
  listeners: {
    auth: 'unix:/run/doveauth/doveauth.socket',
    lastlogin: 'unix:/run/chatmail-lastlogin/lastlogin.socket',
    http: 'unix:/run/doveauth/http.socket',
  },
  // Only where there is a web server; its user, and nobody else's, gets access.
  optionalListeners: ['new'],
  async start({ config, log, metrics }) {
    const hasher = new Hasher();
    metrics.gauge('doveauth_hash_queue_length', 'Password hashes waiting or being computed.', () => hasher.length);

    const openSettings = async (config: Config) => {
      const store = await openAccountStore(config.mailboxes_dir);
      if (store.owner.uid === 0)
        log.warn('the mailboxes directory belongs to root: Dovecot refuses to deliver as root');
      const invitations = new DiskInvitationStore(config.state_dir);
      return { config, store, invitations, readHost: () => readHostState(config.mailboxes_dir) };
    };
    const initial = await openSettings(config);
    let settings: AccountSettings = initial;
    await initial.store.removeStale().catch((error) => log.warn('stale creations could not be removed', { error }));
    const clocks = { now: Date.now, uptime: () => performance.now() };
    const accounts = new Accounts({ hasher, log, metrics, ...clocks }, settings);
    const newcomers = new Newcomers({ log, metrics, ...clocks, randomness: loadRandomness }, settings);

    const operator = { accounts, hasher, log, now: Date.now, randomness: loadRandomness, settings: () => settings };
    const createAccount = (token: string) => createOperatorAccount(operator, token);

    const readConfig = () => settings.config;
    const open = (listener: string): DaemonServer => {
      const options: DictServerOptions = {
        onProtocolError: (error) => log.warn('the peer broke the dict protocol', { listener, error }),
        onDrop: () => log.warn('too many connections: one was closed unserved', { listener }),
      };
      if (listener === 'auth') {
        const handler = createAuthHandler(accounts, log);
        return createDictServer(handler, { ...options, onHandlerError: createAuthErrorReply(log) });
      }
      if (listener === 'http') {
        return createHttpServer(createHttpHandler(accounts, newcomers, createAccount, readConfig), log, listener);
      }
      if (listener === 'new') return createHttpServer(createNewHandler(newcomers, readConfig), log, listener);
      return createDictServer(createLastLoginHandler(accounts), {
        ...options,
        onHandlerError: (error) => {
          log.error('a dict command failed', { listener, error });
          return undefined;
        },
      });
    };
    return {
      open,
      async reload(config) {
        settings = await openSettings(config);
        accounts.configure(settings);
        newcomers.configure(settings);
      },
      isIdle: () => hasher.length === 0,
      close: () => hasher.close(),
    };
  },
});
