/**
 * The certificate and key of the public address: read and tried at the start, and read again when a file changes.
 *
 * 1. What cannot be used never replaces what is: the old pair serves on, and the fault is told once for each change.
 * 2. The two files change one after the other, so a change counts once both have stood still for one look.
 */
import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { failure, type Result, success } from '../core/result.ts';

/** How often the files are looked at; links are followed, so that a link set to a new file is a change. */
const LOOK_INTERVAL_MS = 5_000;
/** A chain of certificates is some kilobytes. */
const FILE_BYTES_MAX = 1024 * 1024;
const DAY_MS = 86_400_000;
/** A certificate that ends sooner is told at the start and when it is read again. */
const ENDS_SOON_DAYS = 7;

export interface TlsFileNames {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate with its chain and the key of it, as PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** Reads both files and tries them together. The error is a sentence for the operator. */
export async function readTlsPair({ certFile, keyFile }: TlsFileNames): Promise<Result<TlsPair, string>> {
  const cert = await readText(certFile, 'server.tls_cert');
  if (!cert.ok) return cert;
  const key = await readText(keyFile, 'server.tls_key');
  if (!key.ok) return key;
  try {
    createSecureContext({ cert: cert.value });
  } catch (error) {
    return failure(
      `server.tls_cert: ${certFile} holds no certificate that can be used (${reasonOf(error)}); it must be PEM, the server's own certificate first`,
    );
  }
  if (/^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(key.value))
    return failure(`server.tls_key: ${keyFile} is protected by a passphrase; store the key without one`);
  try {
    createSecureContext({ key: key.value });
  } catch (error) {
    return failure(
      `server.tls_key: ${keyFile} holds no private key that can be used (${reasonOf(error)}); it must be PEM`,
    );
  }
  try {
    createSecureContext({ cert: cert.value, key: key.value });
  } catch (error) {
    return failure(
      `server.tls_key: the key in ${keyFile} is not the one of the certificate in ${certFile} (${reasonOf(error)})`,
    );
  }
  return success({ cert: cert.value, key: key.value });
}

/** What the operator should know of a certificate that can be used; null: nothing. */
export function certificateWarning({ cert }: TlsPair, nowWallMs: number): string | null {
  const { validTo } = new X509Certificate(cert);
  const left = Date.parse(validTo) - nowWallMs;
  if (left < 0) return `The certificate of server.tls_cert ended on ${validTo}; clients will refuse it.`;
  if (left < ENDS_SOON_DAYS * DAY_MS) return `The certificate of server.tls_cert ends on ${validTo}.`;
  return null;
}

export interface TlsFilesListener {
  /** A new pair that can be used. */
  renewed(pair: TlsPair): void;
  /** The files changed and cannot be used; the old pair serves on. */
  broken(text: string): void;
}

export class TlsFiles {
  readonly #names: TlsFileNames;
  readonly #pair: TlsPair;
  #timer: NodeJS.Timeout | null = null;
  /** Of the files that were read last, whether they could be used or not. */
  #read = '';
  /** Of the files at the last look. */
  #seen = '';

  private constructor(names: TlsFileNames, pair: TlsPair, seen: string) {
    this.#names = names;
    this.#pair = pair;
    this.#read = seen;
    this.#seen = seen;
  }

  static async open(names: TlsFileNames): Promise<Result<TlsFiles, string>> {
    const seen = await signatureOf(names);
    const pair = await readTlsPair(names);
    return pair.ok ? success(new TlsFiles(names, pair.value, seen)) : pair;
  }

  /** As it was at the opening. */
  get pair(): TlsPair {
    return this.#pair;
  }

  /** Looks at the files until `close`. `intervalMs` is shorter in tests. */
  follow(listener: TlsFilesListener, intervalMs = LOOK_INTERVAL_MS): void {
    const again = (): void => {
      this.#timer = setTimeout(
        () => void this.#look(listener).then(() => this.#timer && again()),
        intervalMs,
      );
      this.#timer.unref();
    };
    again();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #look(listener: TlsFilesListener): Promise<void> {
    const seen = await signatureOf(this.#names);
    const stands = seen === this.#seen;
    this.#seen = seen;
    if (!stands || seen === this.#read) return;
    this.#read = seen;
    const pair = await readTlsPair(this.#names);
    if (this.#timer === null) return;
    if (pair.ok) listener.renewed(pair.value);
    else listener.broken(pair.error);
  }
}

async function readText(file: string, key: string): Promise<Result<string, string>> {
  try {
    const { size } = await stat(file);
    if (size > FILE_BYTES_MAX) return failure(`${key}: ${file} is too large for a PEM file (${size} bytes)`);
    return success(await readFile(file, 'utf8'));
  } catch (error) {
    return failure(`${key}: ${file} cannot be read (${reasonOf(error)})`);
  }
}

/** Changes whenever one of the files is written, replaced, or taken away. */
async function signatureOf({ certFile, keyFile }: TlsFileNames): Promise<string> {
  const parts = await Promise.all(
    [certFile, keyFile].map((file) =>
      stat(file).then(
        ({ ino, size, mtimeMs, ctimeMs }) => `${ino} ${size} ${mtimeMs} ${ctimeMs}`,
        (error: unknown) => reasonOf(error),
      ),
    ),
  );
  return parts.join(', ');
}

/** The code of Node's errors; OpenSSL's are sentences. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('reason' in error && typeof error.reason === 'string') return error.reason;
  return 'code' in error ? String(error.code) : error.message;
}
