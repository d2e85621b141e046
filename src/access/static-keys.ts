/**
 * One static list of API keys from a file: who has one of them may use every model.
 *
 * The file holds one key a line: `KEY` or `NAME: KEY`; `#` begins a comment line, empty lines are skipped. In place of a
 * key its hash may stand, as `sha256:` with 64 hexadecimal digits. Keys are 8 to 512 visible ASCII characters.
 *
 * 1. Memory holds hashes, never keys.
 * 2. A look-up takes the same steps whatever is presented: the presented key is hashed with a secret of this process
 *    before anything is compared, so timing tells nothing about the stored keys.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Refusal } from '../core/errors.ts';
import { failure, type Result, success } from '../core/result.ts';

const KEY_CHARS_MIN = 8;
export const KEY_CHARS_MAX = 512;
export const KEY_FILE_BYTES_MAX = 1024 * 1024;

/** Who makes a request. Recorded and logged by name, never by key. */
export interface Principal {
  readonly name: string;
}

/** What a request presents, as the headers have it. */
export interface Credentials {
  readonly authorization: string | null;
  readonly apiKey: string | null;
}

export type Authentication =
  | { readonly kind: 'ok'; readonly principal: Principal }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

export interface StaticKeys {
  readonly count: number;
  /** `Authorization: Bearer KEY` or `x-api-key: KEY`; with both, one known key is enough. */
  authenticate(credentials: Credentials): Authentication;
}

/** A fault of the file; `line` counts from 1 and is 0 for the file as a whole. The text never repeats a key. */
export interface KeyFileFault {
  readonly line: number;
  readonly text: string;
}

export interface LoadedKeys {
  readonly keys: StaticKeys;
  /** Worth a line in the log, e.g. a file that everybody may read. */
  readonly warnings: readonly string[];
}

/** Reads a keys file. All faults are reported together. */
export async function loadStaticKeys(file: string): Promise<Result<LoadedKeys, readonly KeyFileFault[]>> {
  let text: string;
  const warnings: string[] = [];
  try {
    const status = await stat(file);
    if (!status.isFile()) return failure([{ line: 0, text: 'it is not a regular file' }]);
    if (status.size > KEY_FILE_BYTES_MAX) {
      return failure([{ line: 0, text: `it is larger than ${KEY_FILE_BYTES_MAX} bytes` }]);
    }
    if ((status.mode & 0o004) !== 0)
      warnings.push(`${file} may be read by every user; chmod 600 would keep the keys`);
    text = await readFile(file, 'utf8');
  } catch (error) {
    return failure([
      { line: 0, text: `it cannot be read: ${error instanceof Error ? error.message : error}` },
    ]);
  }
  const parsed = parseKeys(text);
  return parsed.ok ? success({ keys: createStaticKeys(parsed.value), warnings }) : parsed;
}

/** One line of the file: a principal and the SHA-256 of its key. */
export interface KeyEntry {
  readonly name: string;
  readonly digest: Buffer;
}

const LINE = /^(?:([A-Za-z0-9._@-]{1,64}):[ \t]+)?([!-~]+)$/;
const HASHED = /^sha256:([0-9a-fA-F]{64})$/;

/** Parses the text of a keys file. */
export function parseKeys(text: string): Result<readonly KeyEntry[], readonly KeyFileFault[]> {
  const faults: KeyFileFault[] = [];
  const entries: KeyEntry[] = [];
  const lineOfDigest = new Map<string, number>();
  const lineOfName = new Map<string, number>();
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  for (const [index, written] of lines.entries()) {
    const line = index + 1;
    const content = written.trim();
    if (content === '' || content.startsWith('#')) continue;
    const match = LINE.exec(content);
    const key = match?.[2];
    if (key === undefined) {
      faults.push({ line, text: 'expected `KEY` or `NAME: KEY`, the key without spaces and in ASCII' });
      continue;
    }
    const hashed = HASHED.exec(key)?.[1];
    if (hashed === undefined && (key.length < KEY_CHARS_MIN || key.length > KEY_CHARS_MAX)) {
      faults.push({
        line,
        text: `a key has ${KEY_CHARS_MIN} to ${KEY_CHARS_MAX} characters, this one ${key.length}`,
      });
      continue;
    }
    const digest = hashed === undefined ? sha256(key) : Buffer.from(hashed, 'hex');
    const name = match?.[1] ?? `key-${line}`;
    const sameKey = lineOfDigest.get(digest.toString('hex'));
    if (sameKey !== undefined) faults.push({ line, text: `the same key stands in line ${sameKey}` });
    const sameName = lineOfName.get(name);
    if (sameName !== undefined)
      faults.push({ line, text: `the name ${name} stands in line ${sameName} already` });
    lineOfDigest.set(digest.toString('hex'), line);
    lineOfName.set(name, line);
    entries.push({ name, digest });
  }
  if (entries.length === 0 && faults.length === 0) faults.push({ line: 0, text: 'it holds no key' });
  return faults.length === 0 ? success(entries) : failure(faults);
}

/** Builds the look-up. */
export function createStaticKeys(entries: readonly KeyEntry[]): StaticKeys {
  const secret = randomBytes(32);
  const salted = (digest: Buffer): string => hash('sha256', Buffer.concat([secret, digest]), 'hex');
  const known = new Map<string, { readonly digest: Buffer; readonly principal: Principal }>();
  for (const { name, digest } of entries) known.set(salted(digest), { digest, principal: { name } });

  const find = (key: string): Principal | null => {
    const digest = sha256(key);
    const entry = known.get(salted(digest));
    return entry !== undefined && timingSafeEqual(entry.digest, digest) ? entry.principal : null;
  };

  return {
    count: entries.length,
    authenticate({ authorization, apiKey }) {
      const bearer = authorization === null ? null : bearerToken(authorization);
      const principal =
        (bearer === null ? null : find(bearer)) ?? (apiKey === null || apiKey === '' ? null : find(apiKey));
      if (principal !== null) return { kind: 'ok', principal };
      const presented = bearer !== null || (apiKey !== null && apiKey !== '');
      return { kind: 'fault', refusal: { code: presented ? 'key_invalid' : 'key_missing', parameters: {} } };
    },
  };
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/** The token of `Bearer TOKEN`, the scheme in any case; null for other schemes and for an empty token. */
function bearerToken(authorization: string): string | null {
  const space = authorization.indexOf(' ');
  if (space !== 6 || authorization.slice(0, 6).toLowerCase() !== 'bearer') return null;
  const token = authorization.slice(7).trim();
  return token === '' ? null : token;
}
