/**
 * [io] Look-ups that find only allowed addresses. Web Push endpoints come from whoever owns an account, so without this they could
 * reach into the network of the relay. The look-up is the one whose result is connected to: an answer that changes between
 * check and use (DNS rebinding) has nowhere to happen.
 */

import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';

/** Makes a look-up that leaves out every address that is not allowed, and fails when none is left. */
export function restrictedLookup(isAllowed: (address: string) => boolean, lookup = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      const allowed = error ? [] : addresses.filter(({ address }) => isAllowed(address));
      const [first] = allowed;
      if (error || !first) {
        const reason = error ?? Object.assign(new Error('no public address'), { code: 'ERR_NO_PUBLIC_ADDRESS' });
        callback(reason, '');
      } else if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}
