/**
 * The DKIM records that belong to a relay's private keys (RFC 6376 section 3.6.1, RFC 8463 section 4). Pure.
 */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { DkimRecord } from './zone.ts';

const PEM_BLOCK = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[A-Za-z0-9+/=\s]*-----END \1-----/g;
/** Bytes of an Ed25519 key, at the end of its SubjectPublicKeyInfo (RFC 8410). */
const ED25519_BYTES = 32;

/** The records for the keys in the text of a key file, as filtermail reads it; empty when there is none. */
export function dkimRecords(pem: string, selector: string): DkimRecord[] {
  const records: DkimRecord[] = [];
  for (const [block] of pem.matchAll(PEM_BLOCK)) {
    const key = createPublicKey(createPrivateKey(block));
    const der = key.export({ type: 'spki', format: 'der' });
    if (key.asymmetricKeyType === 'rsa') {
      records.push({ selector, value: `v=DKIM1; k=rsa; p=${der.toString('base64')}` });
    } else if (key.asymmetricKeyType === 'ed25519') {
      const point = der.subarray(-ED25519_BYTES).toString('base64');
      records.push({ selector: `${selector}-ed25519`, value: `v=DKIM1; k=ed25519; p=${point}` });
    }
  }
  return records;
}
