/** Forms, and an engine that hashes what it gets instead of keeping it. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync, truncateSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { Front } from '../../src/http/server.ts';
import { endpointFor, type Fixture, type FixtureOptions, MODEL, startFixture } from './front-fixture.ts';

export const PATH = '/v1/audio/transcriptions';
export const MIB = 1024 * 1024;
const BOUNDARY = '----formdata-0123456789';

export interface Received {
  readonly bytes: number;
  readonly sha256: string;
  readonly request: IncomingMessage;
}

type Handler = (request: IncomingMessage, response: ServerResponse, index: number) => void;

export interface UploadFixture extends Fixture {
  /** What the engine has read whole. */
  readonly received: Received[];
  /** In place of reading the body and answering 200. */
  handle: Handler | null;
  /** Resolves when nothing of any body is held any more. */
  nothingHeld(): Promise<void>;
}

export async function startUploads(
  context: TestContext,
  options: FixtureOptions = {},
): Promise<UploadFixture> {
  const received: Received[] = [];
  let requests = 0;
  const state: { handle: Handler | null } = { handle: null };
  const server = createServer((request, response) => {
    const index = requests++;
    request.on('error', () => undefined);
    if (state.handle === null) readAndAnswer(request, response, received);
    else state.handle(request, response, index);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fixture = await startFixture(context, options);
  const endpoint = endpointFor((server.address() as AddressInfo).port, options.slots ?? 8, options.endpoint);
  fixture.model.endpoint = endpoint;
  context.after(() => {
    endpoint.destroy(new Error('the test is over'));
    server.closeAllConnections();
    server.close();
  });
  return {
    ...fixture,
    received,
    get handle() {
      return state.handle;
    },
    set handle(handle: Handler | null) {
      state.handle = handle;
    },
    nothingHeld: () => untilNothingIsHeld(fixture.front),
  };
}

/** The usual behaviour of the engine. */
export function readAndAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  received: Received[],
): void {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (piece: Buffer) => {
    hash.update(piece);
    bytes += piece.length;
  });
  request.on('end', () => {
    received.push({ bytes, sha256: hash.digest('hex'), request });
    response.setHeader('content-type', 'application/json');
    response.end('{"text":"heard"}');
  });
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A form of `fileBytes` of audio with the model behind it, as official clients send it; null: no model. */
export function audioForm(fileBytes: number, model: string | null = MODEL, more = ''): Buffer {
  const file = Buffer.alloc(fileBytes);
  // Line ends and hyphens here and there, and no two regions alike.
  for (let at = 0; at < fileBytes; at += 61) file[at] = (at / 61) % 256;
  for (let at = 1000; at + 4 < fileBytes; at += 9973) file.write('\r\n--', at);
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n`;
  const named =
    model === null ? '' : `--${BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n`;
  return Buffer.concat([Buffer.from(head), file, Buffer.from(`\r\n${more}${named}--${BOUNDARY}--\r\n`)]);
}

/** One more part for `audioForm`. */
export function formPart(name: string, value: string): string {
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
}

export function uploadHead(bytes: number | 'chunked', path = PATH, headers: readonly string[] = []): string {
  const framing = bytes === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${bytes}`;
  const type = `Content-Type: multipart/form-data; boundary=${BOUNDARY}`;
  return [`POST ${path} HTTP/1.1`, 'Host: gateway', type, framing, ...headers, '', ''].join('\r\n');
}

export function upload(form: Buffer, path = PATH, headers: readonly string[] = []): Buffer {
  return Buffer.concat([Buffer.from(uploadHead(form.length, path, headers)), form]);
}

/** Polls: files are closed by the system's threads, and nobody is told. */
async function untilNothingIsHeld(front: Front): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  for (;;) {
    const { heldBodyBytes, bodyFiles } = front;
    const open = openBodyFiles();
    if (heldBodyBytes === 0 && bodyFiles.bytes === 0 && bodyFiles.open === 0 && open === 0) return;
    if (performance.now() > deadlineMs) {
      throw new Error(`still held: ${JSON.stringify({ heldBodyBytes, bodyFiles, open })}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Of this process, as the system sees it. */
export function openBodyFiles(): number {
  return bodyFilePaths().length;
}

/** Makes every file that holds a body so short. */
export function truncateBodyFiles(bytes: number): void {
  for (const path of bodyFilePaths()) truncateSync(path, bytes);
}

function bodyFilePaths(): string[] {
  return readdirSync('/proc/self/fd')
    .map((descriptor) => `/proc/self/fd/${descriptor}`)
    .filter((path) => {
      try {
        return readlinkSync(path).includes('vllm-gateway-body-');
      } catch {
        // Closed meanwhile.
        return false;
      }
    });
}
