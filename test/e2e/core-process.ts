/**
 * [io] core-1.138.ts's process: calls the C interface of the core. Arguments: library, directory for the accounts, device token,
 * settings as JSON. Prints `connected` when the core says that its server will push. Source: deltachat-ffi/deltachat.h.
 */

import { setTimeout as sleep } from 'node:timers/promises';

/** An account's state of push, DC_PUSH_CONNECTED. */
const CONNECTED = 2;
const CONFIGURE_MS = 60_000;

type Pointer = bigint;
interface Ffi {
  dlopen(
    path: string,
    functions: Readonly<Record<string, { readonly return: string; readonly arguments: readonly string[] }>>,
  ): { readonly functions: unknown };
}
interface Core {
  dc_accounts_new(directory: string, isWritable: number): Pointer;
  dc_accounts_add_account(accounts: Pointer): number;
  dc_accounts_get_account(accounts: Pointer, id: number): Pointer;
  dc_accounts_set_push_device_token(accounts: Pointer, token: string): void;
  dc_accounts_start_io(accounts: Pointer): void;
  dc_set_config(context: Pointer, key: string, value: string): number;
  dc_configure(context: Pointer): void;
  dc_is_configured(context: Pointer): number;
  dc_get_push_state(context: Pointer): number;
}

const [library = '', directory = '', token = '', settings = '{}'] = process.argv.slice(2);

const ffi = process.getBuiltinModule('node:ffi' as 'node:fs') as unknown as Ffi;
const core = ffi.dlopen(library, {
  dc_accounts_new: { return: 'pointer', arguments: ['string', 'int32'] },
  dc_accounts_add_account: { return: 'uint32', arguments: ['pointer'] },
  dc_accounts_get_account: { return: 'pointer', arguments: ['pointer', 'uint32'] },
  dc_accounts_set_push_device_token: { return: 'void', arguments: ['pointer', 'string'] },
  dc_accounts_start_io: { return: 'void', arguments: ['pointer'] },
  dc_set_config: { return: 'int32', arguments: ['pointer', 'string', 'string'] },
  dc_configure: { return: 'void', arguments: ['pointer'] },
  dc_is_configured: { return: 'int32', arguments: ['pointer'] },
  dc_get_push_state: { return: 'int32', arguments: ['pointer'] },
}).functions as Core;

const accounts = core.dc_accounts_new(directory, 1);
const context = core.dc_accounts_get_account(accounts, core.dc_accounts_add_account(accounts));
for (const [key, value] of Object.entries(JSON.parse(settings) as Record<string, unknown>)) {
  if (core.dc_set_config(context, key, String(value)) !== 1) throw new Error(`no setting ${key}`);
}
core.dc_configure(context);
const deadline = Date.now() + CONFIGURE_MS;
while (core.dc_is_configured(context) !== 1) {
  if (Date.now() > deadline) throw new Error('not configured');
  await sleep(100);
}
core.dc_accounts_set_push_device_token(accounts, token);
core.dc_accounts_start_io(accounts);
while (core.dc_get_push_state(context) !== CONNECTED) await sleep(50);
console.log('connected');
// Until it is killed: a phone would sleep now.
setInterval(() => {}, 60_000);
