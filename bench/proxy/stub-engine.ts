/**
 * The engine of the benchmark, as lean as Node can be: a bare TCP server that knows just enough HTTP. It must cost so
 * little that the proxies between it and the load are what is measured. Several may share a port: the first takes a free
 * one, the others get it as their argument. Second argument: milliseconds between two events. Prints its port.
 *
 * `"stream":true` in the body asks for `STREAM_CHUNKS` events of about 190 bytes, each with another text; everything else
 * gets an answer of about 900 bytes.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { CHUNK_INTERVAL_MS, STREAM_CHUNKS } from './workload.ts';

const HEAD_END = Buffer.from('\r\n\r\n');
const LENGTH = /content-length: *(\d+)/i;
/** Bodies of this size are no stream's, and nothing follows them before their answer. */
const SKIPPED_BODY_BYTES_MIN = 1024 * 1024;

const unaryBody = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-benchmark',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'm1',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'x'.repeat(640) },
        finish_reason: 'stop',
        logprobs: null,
      },
    ],
    usage: { prompt_tokens: 200, completion_tokens: 160, total_tokens: 360 },
  }),
);
const unaryAnswer = Buffer.concat([
  Buffer.from(
    `HTTP/1.1 200 OK\r\ndate: Tue, 24 Nov 2026 00:00:00 GMT\r\nserver: stub\r\ncontent-type: application/json\r\ncontent-length: ${unaryBody.length}\r\n\r\n`,
  ),
  unaryBody,
]);
const streamHead = Buffer.from(
  'HTTP/1.1 200 OK\r\nserver: stub\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n',
);

const streams = new Set<{ readonly socket: Socket; sent: number }>();

setInterval(
  () => {
    for (const stream of streams) {
      if (stream.socket.destroyed) {
        streams.delete(stream);
      } else if (stream.sent === STREAM_CHUNKS) {
        stream.socket.write(`${frame('data: [DONE]\n\n')}0\r\n\r\n`, 'latin1');
        streams.delete(stream);
      } else {
        stream.socket.write(frame(event(stream.sent++)), 'latin1');
      }
    }
  },
  Number(process.argv[3] ?? CHUNK_INTERVAL_MS),
);

function event(index: number): string {
  const text = ` token ${index} `.padEnd(22, String(index));
  return `data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,"model":"m1","choices":[{"index":0,"delta":{"content":"${text}"},"logprobs":null,"finish_reason":null}]}\n\n`;
}

function frame(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

/** Python's writers put a space behind the colon. */
function isStreamed(bytes: Buffer, from: number): boolean {
  return bytes.indexOf('"stream":true', from) >= 0 || bytes.indexOf('"stream": true', from) >= 0;
}

const server = createServer({ noDelay: true }, (socket) => {
  let pending: Buffer = Buffer.alloc(0);
  // Of a long body: bytes that are still to come, which nobody looks at.
  let skipped = 0;
  socket.on('error', () => socket.destroy());
  socket.on('data', (data: Buffer) => {
    if (skipped > 0) {
      skipped -= data.length;
      if (skipped <= 0) socket.write(unaryAnswer);
      return;
    }
    pending = pending.length === 0 ? data : Buffer.concat([pending, data]);
    for (;;) {
      const headEnd = pending.indexOf(HEAD_END);
      if (headEnd < 0) return;
      const head = pending.toString('latin1', 0, headEnd);
      const length = Number(LENGTH.exec(head)?.[1] ?? 0);
      const end = headEnd + 4 + length;
      if (pending.length < end) {
        if (length < SKIPPED_BODY_BYTES_MIN) return;
        skipped = end - pending.length;
        pending = Buffer.alloc(0);
        return;
      }
      const isStream = isStreamed(pending, headEnd);
      pending = pending.subarray(end);
      if (isStream) {
        socket.write(streamHead);
        streams.add({ socket, sent: 0 });
      } else {
        socket.write(unaryAnswer);
      }
    }
  });
});

server.listen({ port: Number(process.argv[2] ?? 0), host: '127.0.0.1', reusePort: true }, () => {
  console.log((server.address() as AddressInfo).port);
});
