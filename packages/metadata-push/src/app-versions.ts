/**
 * The `appversions` entry: which versions of the apps there are and where to get them, as JSON the operator keeps in a file.
 * Source: chatmail/core src/appversions.rs. Clients drop the whole list for one wrong type, so it is checked as strictly here, and what they
 * do not read is left out.
 */

import { Buffer } from 'node:buffer';

/** Longest entry, bytes. Every client asks for it at its first connection. */
export const MAX_APP_VERSIONS_BYTES = 16 * 1024;
const MAX_U32 = 2 ** 32 - 1;
const MAX_TEXT = 500;

interface Source {
  readonly sourceId: string;
  readonly versionInteger: number;
  readonly versionString: string;
  readonly downloadUrl: string;
}

interface Client {
  readonly clientId: string;
  readonly sources: readonly Source[];
}

export type ParsedAppVersions =
  | { readonly ok: true; readonly line: string }
  /** Names the value at fault, such as `clients[0].sources[2].versionInteger`. */
  | { readonly ok: false; readonly reason: string };

/** Checks the file's text and makes one line of it, as the entry is served. */
export function parseAppVersions(text: string): ParsedAppVersions {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'the file is not JSON' };
  }
  try {
    const clients = list(field(json, 'clients', 'the file'), 'clients').map(readClient);
    const line = JSON.stringify({ clients });
    if (Buffer.byteLength(line) > MAX_APP_VERSIONS_BYTES) {
      return { ok: false, reason: `the list is longer than ${MAX_APP_VERSIONS_BYTES} bytes` };
    }
    return { ok: true, line };
  } catch (error) {
    if (error instanceof Unfit) return { ok: false, reason: error.message };
    throw error;
  }
}

/** A value is not what it has to be; does not leave this file. */
class Unfit extends Error {}

function readClient(value: unknown, index: number): Client {
  const path = `clients[${index}]`;
  const sources = list(field(value, 'sources', path), `${path}.sources`);
  return {
    clientId: textField(value, 'clientId', path),
    sources: sources.map((source, n) => readSource(source, `${path}.sources[${n}]`)),
  };
}

function readSource(value: unknown, path: string): Source {
  const versionInteger = field(value, 'versionInteger', path);
  const isU32 = Number.isInteger(versionInteger) && Number(versionInteger) >= 0 && Number(versionInteger) <= MAX_U32;
  if (!isU32) throw new Unfit(`${path}.versionInteger must be a whole number below 2^32`);
  const downloadUrl = textField(value, 'downloadUrl', path);
  if (!URL.canParse(downloadUrl) || new URL(downloadUrl).protocol !== 'https:') {
    throw new Unfit(`${path}.downloadUrl must be an https URL`);
  }
  return {
    sourceId: textField(value, 'sourceId', path),
    versionInteger: Number(versionInteger),
    versionString: textField(value, 'versionString', path),
    downloadUrl,
  };
}

function field(value: unknown, name: string, path: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Unfit(`${path} must be an object`);
  return (value as Record<string, unknown>)[name];
}

function list(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Unfit(`${path} must be a list`);
  return value;
}

function textField(value: unknown, name: string, path: string): string {
  const text = field(value, name, path);
  if (typeof text !== 'string' || text === '' || text.length > MAX_TEXT) {
    throw new Unfit(`${path}.${name} must be a text of 1 to ${MAX_TEXT} characters`);
  }
  return text;
}
