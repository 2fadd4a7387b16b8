/**
 * The CRC-24 of OpenPGP armor (RFC 9580 §6.1.1); how it is computed stands in kernel-crc.ts. The register is kept with its bytes
 * turned around, the first one lowest, as the kernel reads the data.
 */

import { theKernel } from './kernel.ts';
import { turnAround } from './kernel-crc.ts';

/** Register before the first byte. */
export const CRC24_START = turnAround(0xb704ce);

/** Takes bytes into the register and returns it. */
export function updateCrc24(register: number, bytes: Uint8Array): number {
  const kernel = theKernel();
  let value = register;
  kernel.withAddresses(bytes, 0, bytes.length, (at, end) => {
    value = kernel.crc(value, at, end);
  });
  return value;
}

/** The checksum as the armor has it, 24 bits. */
export function crc24Value(register: number): number {
  return turnAround(register);
}
