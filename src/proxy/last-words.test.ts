/** Engines that answer before they have read a long request, and break the connection. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { endpointAt } from '../../test/fakes/test-endpoint.ts';
import type { Endpoint, EndpointOptions, FileBody } from './endpoint-types.ts';
import type { TransportFault } from './transport-fault.ts';

/** As `connection.ts` and `file-upload.ts` cut bodies. */
const PIECE_BYTES = 256 * 1024;
const BODY_BYTES = 4 * PIECE_BYTES;
const DEADLINE_MS = 30_000;
const TOO_LARGE = 'HTTP/1.1 413 Too Large\r\ncontent-length: 9\r\n\r\ntoo large';

/** In a thread of its own: it reads one piece of the request, says `words`, is gone, and tells of that. */
const ENGINE = `
  const { createServer } = require('node:net');
  const { parentPort, workerData } = require('node:worker_threads');
  const { gone, pieceBytes, words, socketPath } = workerData;
  const server = createServer((socket) => {
    let bytes = 0;
    socket.on('error', () => undefined);
    socket.on('data', (piece) => {
      const before = bytes;
      bytes += piece.length;
      if (before >= pieceBytes || bytes < pieceBytes) return;
      const leave = () => (socketPath === null ? socket.resetAndDestroy() : socket.destroy());
      if (words === '') leave();
      else socket.write(words, leave);
    });
    socket.on('close', () => {
      Atomics.store(gone, 0, 1);
      Atomics.notify(gone, 0);
    });
  });
  server.listen(socketPath ?? { port: 0, host: '127.0.0.1' }, () => parentPort.postMessage(server.address().port ?? 0));
`;

interface LeavingEngine {
  readonly endpoint: Endpoint;
  /** Blocks this thread, so that nothing is read meanwhile: the next thing is a write into a broken connection. */
  waitUntilGone(): void;
}

async function start(context: TestContext, kind: 'tcp' | 'unix', words: string): Promise<LeavingEngine> {
  const gone = new Int32Array(new SharedArrayBuffer(4));
  const directory = await mkdtemp(join(tmpdir(), 'leaving-'));
  const socketPath = kind === 'unix' ? join(directory, 's') : null;
  const worker = new Worker(ENGINE, {
    eval: true,
    workerData: { gone, pieceBytes: PIECE_BYTES, words, socketPath },
  });
  const port = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const address: EndpointOptions['address'] =
    socketPath === null ? { kind: 'tcp', host: '127.0.0.1', port } : { kind: 'unix', socketPath };
  const endpoint = endpointAt(address, {
    connectTimeoutMs: DEADLINE_MS,
    firstByteTimeoutMs: DEADLINE_MS,
    streamIdleTimeoutMs: DEADLINE_MS,
  });
  context.after(async () => {
    endpoint.destroy(new Error('over'));
    await worker.terminate();
    await rm(directory, { recursive: true });
  });
  return { endpoint, waitUntilGone: () => void Atomics.wait(gone, 0, 0, DEADLINE_MS) };
}

/** Its second piece is cut off when the engine is gone. */
function memoryBody(engine: LeavingEngine): Buffer {
  const body = Buffer.alloc(BODY_BYTES, 'a');
  return Object.assign(body, {
    subarray: (from: number, to: number) => {
      if (from > 0) engine.waitUntilGone();
      return Buffer.prototype.subarray.call(body, from, to);
    },
  });
}

class Held implements FileBody {
  readonly length = BODY_BYTES;
  holders = 1;
  readonly #engine: LeavingEngine;

  constructor(engine: LeavingEngine) {
    this.#engine = engine;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    if (position > 0) this.#engine.waitUntilGone();
    target.fill(0x61);
    return target.length;
  }

  retain(): void {
    this.holders += 1;
  }

  release(): void {
    this.holders -= 1;
  }
}

interface Heard {
  readonly status: number | null;
  readonly body: string;
  readonly fault: TransportFault | null;
}

function send(endpoint: Endpoint, body: Buffer | FileBody): Promise<Heard> {
  return new Promise((resolve) => {
    let status: number | null = null;
    let text = '';
    endpoint.send(
      { method: 'POST', path: '/x', headers: [], body },
      {
        onHead: (code) => {
          status = code;
        },
        onData: (piece) => {
          text += piece.toString();
          return true;
        },
        onComplete: () => resolve({ status, body: text, fault: null }),
        onError: (fault) => resolve({ status, body: text, fault }),
      },
    );
  });
}

for (const kind of ['tcp', 'unix'] as const) {
  test(`an answer that came before the connection broke is heard (${kind})`, async (context) => {
    const engine = await start(context, kind, TOO_LARGE);
    const heard = await send(engine.endpoint, memoryBody(engine));
    assert.deepEqual(heard, { status: 413, body: 'too large', fault: null });
  });

  test(`so it is where the body lies in a file, which is given up (${kind})`, async (context) => {
    const engine = await start(context, kind, TOO_LARGE);
    const body = new Held(engine);
    const heard = await send(engine.endpoint, body);
    assert.deepEqual(heard, { status: 413, body: 'too large', fault: null });
    assert.equal(body.holders, 1);
  });

  test(`half an answer is told as broken, and no answer as lost (${kind})`, async (context) => {
    const half = await start(context, kind, TOO_LARGE.slice(0, -3));
    const broken = await send(half.endpoint, memoryBody(half));
    assert.deepEqual([broken.status, broken.body, broken.fault?.kind], [413, 'too la', 'connection_lost']);
    const silent = await start(context, kind, '');
    const body = new Held(silent);
    const lost = await send(silent.endpoint, body);
    assert.deepEqual([lost.status, lost.fault?.kind], [null, 'connection_lost']);
    assert.match(lost.fault?.detail ?? '', /EPIPE|ECONNRESET/);
    assert.equal(body.holders, 1);
  });
}
