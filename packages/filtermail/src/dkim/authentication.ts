/**
 * The stage that lets incoming mail pass only when it is from the domain its From says. It hashes the body as it streams by, and
 * only in the forms that signatures of that domain need; DNS is asked at the end, when everything else has let the message pass.
 * From domains that are address literals have no DNS to publish keys in: they pass, and are counted (as today's relays).
 */

import { type Address, isAddressLiteral } from '#core';
import { parseFrom } from '../from-field.ts';
import type { Envelope, HeaderField, Stage, Transaction } from '../transaction.ts';
import { type Refusal, reject, tempfail } from '../verdict.ts';
import { BodyHash, type Canonicalization } from './canonical.ts';
import { asciiDomain } from './signature.ts';
import { DkimClaims, type DkimResult, type KeyStore } from './verify.ts';

/** How much the envelope sender, From and the address of the SMTP client agree where From is an address literal. */
export type LiteralAgreement = 'all_agree' | 'sender_differs' | 'client_differs';

/**
 * After this time no further keys are looked up. The MTA waits 60 s for us (milter_content_timeout, render/postfix.ts), and the
 * last signature may need two look-ups of 15 s; what comes later than that, the sender's server never hears.
 */
const MAX_LOOK_UP_SECONDS = 20;

export interface AuthenticationSettings {
  readonly keys: KeyStore;
  /** Seconds since 1970. */
  readonly nowSeconds: () => number;
  /** Told of every verification. */
  readonly onResult: (result: DkimResult['result']) => void;
  readonly onLiteral: (agreement: LiteralAgreement) => void;
}

export class DkimAuthentication implements Stage {
  readonly #settings: AuthenticationSettings;
  #fields: HeaderField[] = [];
  #claims: DkimClaims | undefined;
  readonly #hashes = new Map<Canonicalization, BodyHash>();

  constructor(settings: AuthenticationSettings) {
    this.#settings = settings;
  }

  header(field: HeaderField): void {
    this.#fields.push(field);
  }

  endOfHeaders(): void {
    const fields = this.#fields;
    this.#fields = [];
    // Two From fields, or one without an address, are refused by another stage before this one is asked.
    const from = parseFrom(fields.find(({ name }) => name === 'from')?.value ?? '');
    if (!from.ok || isAddressLiteral(from.address.domain)) return;
    const domain = asciiDomain(from.address.domain);
    if (domain === undefined) return;
    this.#claims = new DkimClaims(fields, domain, this.#settings.nowSeconds());
    for (const form of this.#claims.bodyForms) this.#hashes.set(form, new BodyHash(form));
  }

  body(piece: Buffer): void {
    for (const hash of this.#hashes.values()) hash.push(piece);
  }

  async decide({ from, envelope }: Transaction): Promise<Refusal | undefined> {
    if (!from) throw new Error('DKIM asked before From is known');
    if (isAddressLiteral(from.domain)) {
      this.#settings.onLiteral(compareLiteral(from, envelope));
      return undefined;
    }
    const digests = new Map([...this.#hashes].map(([form, hash]) => [form, hash.digest()]));
    const { keys, nowSeconds } = this.#settings;
    const endSeconds = nowSeconds() + MAX_LOOK_UP_SECONDS;
    const isTimeUp = () => nowSeconds() > endSeconds;
    const result = (await this.#claims?.verify(digests, keys, isTimeUp)) ?? { result: 'none' };
    this.#settings.onResult(result.result);
    return refusalOf(result);
  }
}

function refusalOf(result: DkimResult): Refusal | undefined {
  switch (result.result) {
    case 'pass':
      return undefined;
    case 'none':
      return reject('dkim_missing');
    case 'unaligned':
      return reject('dkim_unaligned');
    case 'invalid':
      return reject(result.fault);
    case 'key_missing':
      return reject('dkim_key_missing');
    case 'temporary':
      return tempfail('dkim_dns');
  }
}

/** A null sender says nothing, and agrees. */
function compareLiteral(from: Address, { sender, isNullSender, clientAddress }: Envelope): LiteralAgreement {
  if (!isNullSender && sender?.domain !== from.domain) return 'sender_differs';
  return clientAddress !== undefined && plainAddress(from.domain) === plainAddress(`[${clientAddress}]`)
    ? 'all_agree'
    : 'client_differs';
}

/** An address literal in one way of writing: IPv6 addresses have many. */
function plainAddress(literal: string): string {
  const url = `http://${literal.toLowerCase().replace('[ipv6:', '[')}/`;
  return URL.canParse(url) ? new URL(url).hostname : literal;
}
