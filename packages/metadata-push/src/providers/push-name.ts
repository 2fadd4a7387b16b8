/**
 * The name of a push, the same for every repetition of it, before or after a crash: APNs takes it as `apns-id`, our own gateway as `Push-Id`.
 */

import { hash } from 'node:crypto';

/**
 * Names a push by a UUID (RFC 9562 section 5.8: version 8, from a hash). No account is in it: nobody must be able to find out whose push
 * it is by trying addresses, nor which tokens belong together.
 *
 * @param pushId tells the push from others to the same token
 */
export function pushName(token: string, pushId: number): string {
  const bytes = hash('sha256', `${token} ${pushId}`, 'buffer');
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
