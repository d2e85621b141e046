/**
 * The clients of the benchmark, on bare sockets. Arguments: port, `unary` or `stream`, how much (milliseconds of
 * closed loop, or streams per client one after the other), how many clients, bytes by which requests are longer, and
 * `rewritten` for a proxy that writes streams anew, with events of its own. Prints one JSON line: what came back and how
 * long it took. Exits with 1 when any answer was wrong, so that a broken proxy has no figures.
 */
import { connect, type Socket } from 'node:net';
import { requestBody, STREAM_CHUNKS } from './workload.ts';

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n');
const LENGTH = /content-length: *(\d+)/i;
const CHUNKED = /transfer-encoding: *chunked/i;

/** Longer than what is looked for across two reads. */
const TAIL_CHARS = 8;

const [port = '', mode = '', amount = '', count = '', extra = '0', rewritten = ''] = process.argv.slice(2);
const clients = Number(count);

function requestBytes(stream: boolean): Buffer {
  const body = requestBody(stream, Number(extra));
  return Buffer.from(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nuser-agent: bench\r\naccept: application/json\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function open(onSocket: (socket: Socket) => void): void {
  const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true }, () => onSocket(socket));
  socket.on('error', (error) => fail(error.message));
}

function fail(why: string): never {
  console.error(why);
  process.exit(1);
}

function report(done: number, startedMs: number): void {
  console.log(JSON.stringify({ done, seconds: (performance.now() - startedMs) / 1000 }));
  process.exit(0);
}

function runUnary(durationMs: number): void {
  const request = requestBytes(false);
  const startedMs = performance.now();
  let requests = 0;
  let running = clients;
  for (let client = 0; client < clients; client++) {
    open((socket) => {
      let pending: Buffer = Buffer.alloc(0);
      socket.write(request);
      socket.on('close', () => fail('a connection was closed'));
      socket.on('data', (data: Buffer) => {
        pending = pending.length === 0 ? data : Buffer.concat([pending, data]);
        const headEnd = pending.indexOf(HEAD_END);
        if (headEnd < 0) return;
        const head = pending.toString('latin1', 0, headEnd);
        if (!head.startsWith('HTTP/1.1 200')) fail(`unexpected answer: ${pending.toString()}`);
        const length = LENGTH.exec(head)?.[1];
        if (length === undefined && !CHUNKED.test(head)) fail(`an answer without length: ${head}`);
        // Chunked answers end with the only thing that looks so in them.
        const isWhole = pending.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK);
        const end = length === undefined ? pending.length + (isWhole ? 0 : 1) : headEnd + 4 + Number(length);
        if (pending.length < end) return;
        if (pending.length > end) fail('more than one answer');
        pending = Buffer.alloc(0);
        requests += 1;
        if (performance.now() - startedMs < durationMs) socket.write(request);
        else if (--running === 0) report(requests, startedMs);
      });
    });
  }
}

function runStreams(rounds: number): void {
  const request = requestBytes(true);
  const startedMs = performance.now();
  let chunks = 0;
  let running = clients;
  for (let client = 0; client < clients; client++) {
    open((socket) => {
      let left = rounds;
      let tail = '';
      let events = 0;
      socket.on('close', () => fail('a connection was closed'));
      socket.on('data', (data: Buffer) => {
        const text = tail + data.toString('latin1');
        // What was counted with the bytes before must not be counted again.
        events += countEvents(text) - countEvents(tail);
        tail = text.slice(-TAIL_CHARS);
        if (!text.endsWith('\r\n0\r\n\r\n')) return;
        tail = '';
        // Their first and last ones may be their own.
        const isRight =
          rewritten === '' ? events === STREAM_CHUNKS + 1 : Math.abs(events - STREAM_CHUNKS) <= 3;
        if (!isRight) fail(`${events} events in a stream`);
        chunks += STREAM_CHUNKS;
        events = 0;
        left -= 1;
        if (left > 0) socket.write(request);
        else if (--running === 0) report(chunks, startedMs);
      });
      socket.write(request);
    });
  }
}

function countEvents(text: string): number {
  let count = 0;
  for (let at = text.indexOf('data: '); at >= 0; at = text.indexOf('data: ', at + 6)) count += 1;
  return count;
}

if (mode === 'unary') runUnary(Number(amount));
else if (mode === 'stream') runStreams(Number(amount));
else fail(`unknown mode ${mode}`);
