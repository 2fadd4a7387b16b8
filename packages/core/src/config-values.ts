/**
 * The types a configuration value can have: text in, typed value out, or a sentence that says what would be right.
 * Sizes are binary (500M = 500 * 1024 * 1024 bytes) because Dovecot reads the same numbers that way.
 */

import { isIpv4, parseDomain } from './address.ts';

export interface ValueTypes {
  /** Any text, possibly over several lines. */
  text: string;
  /** An absolute path; empty where the key is optional. */
  path: string;
  /** A whole number, zero or more. */
  integer: number;
  /** A number with an optional fraction, zero or more. */
  number: number;
  /** Bytes. */
  size: number;
  /** Whole days, one or more: with zero, everything would expire at once. */
  days: number;
  /** A whole number from 0 to 100. */
  percent: number;
  /** A TCP port. */
  port: number;
  boolean: boolean;
  /** A DNS name or an IPv4 address, in lower case. */
  domain: string;
  /** An absolute http or https URL; empty where the key is optional. */
  url: string;
  /** Words separated by blanks. */
  words: readonly string[];
}

export type ValueType = keyof ValueTypes;

/** A value, or what would have been right (completes the sentence "must be ..."). */
export type ParsedValue<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly expected: string };

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

function ok<T>(value: T): ParsedValue<T> {
  return { ok: true, value };
}

function expect(expected: string): ParsedValue<never> {
  return { ok: false, expected };
}

function parseNumber(text: string, pattern: RegExp, min: number, max: number, expected: string): ParsedValue<number> {
  const value = Number(text);
  return pattern.test(text) && value >= min && value <= max ? ok(value) : expect(expected);
}

function parseSize(text: string): ParsedValue<number> {
  const match = /^(\d{1,15})\s*([KMGT]?)(?:i?B)?$/i.exec(text);
  const bytes = match ? Number(match[1]) * SIZE_UNITS[match[2]!.toUpperCase()]! : Number.NaN;
  return Number.isSafeInteger(bytes) ? ok(bytes) : expect('a size such as 500M or 31457280');
}

function parseBoolean(text: string): ParsedValue<boolean> {
  if (/^(?:true|yes|on|1)$/i.test(text)) return ok(true);
  if (/^(?:false|no|off|0)$/i.test(text)) return ok(false);
  return expect('true or false');
}

function parseUrl(text: string): ParsedValue<string> {
  if (text === '') return ok('');
  const isHttp = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  return isHttp ? ok(text) : expect('a URL such as https://example.org/path');
}

function parseMailDomain(text: string): ParsedValue<string> {
  const domain = text.toLowerCase();
  const bare = domain.startsWith('[') && domain.endsWith(']') ? domain.slice(1, -1) : domain;
  if (isIpv4(bare)) return ok(bare);
  // A domain whose last label is numeric is a mistyped address, never a name (RFC 3696 section 2).
  return parseDomain(domain) && !/^\d+$/.test(domain.slice(domain.lastIndexOf('.') + 1)) && domain[0] !== '['
    ? ok(domain)
    : expect('a DNS name such as chat.example.org, or an IPv4 address');
}

const PARSERS: { readonly [T in ValueType]: (text: string) => ParsedValue<ValueTypes[T]> } = {
  text: ok,
  path: (text) => (text === '' || (text[0] === '/' && !text.includes('\0')) ? ok(text) : expect('an absolute path')),
  integer: (text) => parseNumber(text, /^\d{1,15}$/, 0, 1e15, 'a whole number'),
  number: (text) => parseNumber(text, /^\d{1,15}(?:\.\d{1,9})?$/, 0, 1e15, 'a number'),
  size: parseSize,
  days: (text) => parseNumber(text, /^\d{1,6}$/, 1, 36_500, 'a whole number of days from 1 to 36500'),
  percent: (text) => parseNumber(text, /^\d{1,3}$/, 0, 100, 'a whole number from 0 to 100'),
  port: (text) => parseNumber(text, /^\d{1,5}$/, 1, 65_535, 'a port number from 1 to 65535'),
  boolean: parseBoolean,
  domain: parseMailDomain,
  url: parseUrl,
  words: (text) => ok(text.split(/[\s,]+/).filter((word) => word !== '')),
};

/** Parses the text of a value of one type. Never throws. */
export function parseValue<T extends ValueType>(type: T, text: string): ParsedValue<ValueTypes[T]> {
  return PARSERS[type](text);
}
