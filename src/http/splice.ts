/**
 * Edits a scanned JSON body without parsing it into values.
 *
 * 1. Every byte that no edit touches stays as the client sent it.
 * 2. Defaults never replace what the caller sent, and neither defaults nor set parameters ever name the model.
 * 3. Without an effective edit the same bytes come back, uncopied.
 */

import { assert } from '../core/assert.ts';
import { asBuffer, decodeString, type ScannedBody } from './body-scan.ts';
import { JsonReader } from './json-reader.ts';

/** A member ready to be written: `"key":value` as UTF-8. */
export interface PreparedMember {
  readonly key: string;
  readonly bytes: Buffer;
}

/** Edits for one resolved name, prepared once and used for each of its requests. */
export interface BodyEdits {
  /** The name the engine knows; null leaves `model` as it is. Added where the body has none. */
  readonly model: string | null;
  /** Added where the body has no such key. */
  readonly defaults: readonly PreparedMember[];
  /** Put in place of whatever the body says. */
  readonly set: readonly PreparedMember[];
  /** Top-level keys taken out. */
  readonly strip: ReadonlySet<string>;
}

export interface EditRequest {
  readonly model?: string | null;
  readonly defaults?: Readonly<Record<string, unknown>>;
  readonly set?: Readonly<Record<string, unknown>>;
  readonly strip?: readonly string[];
}

/** Serialises the edits. Null when there is nothing to do for any body. */
export function prepareEdits(request: EditRequest): BodyEdits | null {
  const set = prepareMembers(request.set);
  const defaults = prepareMembers(request.defaults);
  const strip = new Set(request.strip?.filter((key) => key !== 'model'));
  const model = request.model ?? null;
  if (model === null && set.length === 0 && defaults.length === 0 && strip.size === 0) return null;
  return { model, defaults, set, strip };
}

function prepareMembers(record: Readonly<Record<string, unknown>> | undefined): PreparedMember[] {
  const members: PreparedMember[] = [];
  for (const [key, value] of Object.entries(record ?? {})) {
    const text = key === 'model' ? undefined : JSON.stringify(value);
    if (text !== undefined) members.push({ key, bytes: Buffer.from(`${JSON.stringify(key)}:${text}`) });
  }
  return members;
}

/** The edited body. `scan` must be the scan of exactly these bytes. */
export function spliceBody(body: Uint8Array, scan: ScannedBody, edits: BodyEdits): Uint8Array {
  const bytes = asBuffer(body);
  const renames = edits.model !== null && edits.model !== scan.model;
  if (edits.defaults.length === 0 && edits.set.length === 0 && edits.strip.size === 0) {
    if (!renames) return body;
    if (scan.modelStart >= 0) return Buffer.concat(renamed(bytes, scan, edits.model, 0, bytes.length));
  }
  const members = listMembers(bytes, scan);
  const present = new Set(members.map((member) => member.key));
  const replaced = new Set(edits.set.map((member) => member.key));
  const added = edits.defaults.filter(({ key }) => {
    return !replaced.has(key) && (edits.strip.has(key) || !present.has(key));
  });
  const dropped = (key: string): boolean => edits.strip.has(key) || replaced.has(key);
  const inserts: Uint8Array[] = [...added, ...edits.set].map((member) => member.bytes);
  if (renames && scan.modelStart < 0) inserts.push(Buffer.from(`"model":${JSON.stringify(edits.model)}`));
  if (inserts.length === 0 && !members.some((member) => dropped(member.key))) {
    return renames ? Buffer.concat(renamed(bytes, scan, edits.model, 0, bytes.length)) : body;
  }

  const parts: Uint8Array[] = [bytes.subarray(0, scan.objectStart + 1)];
  let first = true;
  for (const member of members) {
    if (dropped(member.key)) continue;
    if (!first) parts.push(COMMA);
    first = false;
    parts.push(...renamed(bytes, scan, renames ? edits.model : null, member.start, member.end));
  }
  for (const insert of inserts) {
    if (!first) parts.push(COMMA);
    first = false;
    parts.push(insert);
  }
  parts.push(bytes.subarray(scan.objectEnd));
  return Buffer.concat(parts);
}

const COMMA = Buffer.from(',');

/** `[start, end)` with the value of `model` exchanged where the range holds it. */
function renamed(
  bytes: Buffer,
  scan: ScannedBody,
  model: string | null,
  start: number,
  end: number,
): Buffer[] {
  if (model === null || scan.modelStart < start || scan.modelEnd > end) return [bytes.subarray(start, end)];
  const name = Buffer.from(JSON.stringify(model));
  return [bytes.subarray(start, scan.modelStart), name, bytes.subarray(scan.modelEnd, end)];
}

/** A member with the whitespace around it: from the `{` or comma before it to the comma or `}` after it. */
interface Member {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

function listMembers(bytes: Buffer, scan: ScannedBody): Member[] {
  const members: Member[] = [];
  const reader = new JsonReader(bytes, scan.objectStart + 1);
  while (reader.at < scan.objectEnd) {
    const start = reader.at;
    reader.skipWhitespace();
    if (reader.at === scan.objectEnd) break;
    const keyStart = reader.at;
    const named = reader.skipString();
    const key = decodeString(bytes, keyStart, reader.at);
    reader.skipWhitespace();
    reader.at++;
    reader.skipWhitespace();
    const valued = reader.skipValue();
    reader.skipWhitespace();
    assert(named && valued && key !== null, `spliceBody was given a scan of other bytes: ${reader.detail}`);
    members.push({ key, start, end: reader.at });
    reader.at++;
  }
  return members;
}
