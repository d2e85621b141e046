/**
 * Clients that ask at a fixed rate, whatever the answers do. Arguments: port, requests per second, seconds. Prints the
 * milliseconds from each request to the end of its answer as one JSON line.
 */
import { connect, type Socket } from 'node:net';
import { requestBody } from './workload.ts';

/** Answers of these end with their declared length; a chunked one with its last chunk. */
const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const LENGTH = /content-length: *(\d+)/i;
/** The first ones meet cold code and new connections. */
const WARM_UP_S = 2;

const [port = '', rate = '', seconds = ''] = process.argv.slice(2);
const intervalMs = 1000 / Number(rate);
const total = Math.round(Number(rate) * (Number(seconds) + WARM_UP_S));
const warmUps = Math.round(Number(rate) * WARM_UP_S);
const body = requestBody(false);
const request = Buffer.from(
  `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\naccept: application/json\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
);
const idle: Client[] = [];
const latencies: number[] = [];
const startedMs = performance.now();
let sent = 0;
let answered = 0;

class Client {
  #dueMs = 0;
  #number = 0;
  #pending: Buffer = Buffer.alloc(0);
  readonly #socket: Socket;

  constructor() {
    this.#socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (data) => this.#take(data));
    this.#socket.on('error', (error) => fail(error.message));
  }

  send(dueMs: number, number: number): void {
    this.#dueMs = dueMs;
    this.#number = number;
    this.#socket.write(request);
  }

  #take(data: Buffer): void {
    this.#pending = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    const headEnd = this.#pending.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = this.#pending.toString('latin1', 0, headEnd);
    if (!head.startsWith('HTTP/1.1 200')) fail(head);
    const length = LENGTH.exec(head)?.[1];
    const isWhole =
      length === undefined
        ? this.#pending.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK)
        : this.#pending.length >= headEnd + HEAD_END.length + Number(length);
    if (!isWhole) return;
    this.#pending = Buffer.alloc(0);
    if (this.#number >= warmUps) latencies.push(performance.now() - this.#dueMs);
    answered += 1;
    idle.push(this);
    if (answered < total) return;
    console.log(JSON.stringify(latencies));
    process.exit(0);
  }
}

function fail(why: string): never {
  console.error(why);
  process.exit(1);
}

function turn(): void {
  const client = idle.pop() ?? new Client();
  // A timer's own delay is no part of what a proxy adds.
  client.send(performance.now(), sent);
  sent += 1;
  if (sent < total) setTimeout(turn, Math.max(0, startedMs + sent * intervalMs - performance.now()));
}
turn();
