/** What comes with connections and signals, and the output of a start. The last case of each server ends it. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { parseVllmLine } from '../../../src/engines/vllm/phases.ts';
import type { CaseContext, ContractCase } from '../contract-case.ts';
import type { EngineServer } from '../engine-server.ts';
import { eventFrames } from '../event-frames.ts';
import { apiKey } from '../sides.ts';

/** Lines of a start that the gateway reads, by what they mean. */
const startLines: readonly (readonly [string, RegExp])[] = [
  ['arguments', /non-default args: /],
  ['architecture', /Resolved architecture: \S+/],
  ['context length', /Using max model len \d+/],
  ['engine process', /Initializing a V1 LLM engine \(v[\d.]+\)/],
  ['load start', /Starting to load model .+\.\.\./],
  ['load progress', /Loading safetensors checkpoint shards: +\d+% Completed \| \d+\/\d+/],
  ['weights loaded', /Loading weights took [\d.]+ seconds/],
  ['model loaded', /Model loading took [\d.]+ GiB memory and [\d.]+ seconds/],
  ['KV cache', /(GPU|CPU) KV cache size: [\d,]+ tokens/],
  ['engine ready', /init engine \(profile, create kv cache, warmup model\) took [\d.]+ s/],
  ['tasks', /Supported tasks: \[/],
  ['address', /Starting vLLM server on \S+/],
  ['routes', /Available routes are:/],
  ['route', /Route: \/v1\/chat\/completions, Methods: POST/],
  ['serving', /Application startup complete/],
];

function connectTo(server: EngineServer): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket =
      'socketPath' in server.address ? connect(server.address.socketPath) : connect(server.address);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Resolves with all that came until the other side closed, and how long it stayed open after the last byte. */
function readToClose(socket: Socket): Promise<{ text: string; idleMs: number }> {
  return new Promise((resolve, reject) => {
    let text = '';
    let last = performance.now();
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      last = performance.now();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve({ text, idleMs: performance.now() - last }));
  });
}

export const startOutputCases: readonly ContractCase[] = [
  {
    name: 'the output of a start, in its order',
    server: 'chat',
    differences: [
      { line: /^stdout: model loaded on stdout$/, reason: 'only the model runner for GPUs writes this line' },
    ],
    run: async ({ server, note }) => {
      const found = server.lines.flatMap((line) => {
        const hit = startLines.find(([, pattern]) => pattern.test(line.text));
        return hit === undefined ? [] : [{ what: `${hit[0]} on ${line.stream}`, line: line.text }];
      });
      // Two streams have no order between them: each is compared on its own.
      for (const stream of ['stdout', 'stderr'] as const) {
        const words = found.map((one) => one.what).filter((what) => what.endsWith(stream));
        const unique = words.filter((word, index) => words.indexOf(word) === index);
        note(
          stream,
          unique,
          found
            .filter((one) => one.what.endsWith(stream))
            .map((one) => one.line.slice(0, 160))
            .join('\n'),
        );
      }
      const phases = server.lines
        .toSorted((one, other) => Number(one.stream === 'stderr') - Number(other.stream === 'stderr'))
        .flatMap(({ text }) => parseVllmLine(text)?.phase ?? []);
      note(
        'phases',
        phases.filter((phase, index) => phases.indexOf(phase) === index),
      );
      const prefixed = server.lines.find((line) => line.text.includes('Using max model len'))?.text ?? '';
      note('prefix', prefixed.replaceAll(/\d+/g, '#').replace(/Using.*/, ''));
    },
  },
];

export const connectionCases: readonly ContractCase[] = [
  {
    name: 'an idle connection is closed after the keep-alive time',
    server: 'chat',
    run: async ({ server, note }) => {
      const socket = await connectTo(server);
      socket.write('GET /health HTTP/1.1\r\nhost: engine\r\n\r\n');
      const { text, idleMs } = await readToClose(socket);
      note('first line', text.split('\r\n')[0] ?? '');
      note(
        'closed after the 2 s of its setting',
        String(idleMs > 1500 && idleMs < 8000),
        `${Math.round(idleMs / 100) / 10} s`,
      );
    },
  },
  {
    name: 'one connection serves request after request, and closes when asked',
    server: 'chat',
    run: async ({ server, note }) => {
      const socket = await connectTo(server);
      socket.write('GET /version HTTP/1.1\r\nhost: engine\r\n\r\n');
      socket.write('GET /version HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n');
      const { text } = await readToClose(socket);
      note('answers', String(text.split('HTTP/1.1 200 OK').length - 1));
      note('announces the close', String(/connection: close/i.test(text)));
    },
  },
  {
    name: 'a head that is no HTTP',
    server: 'chat',
    run: async ({ server, note }) => {
      const socket = await connectTo(server);
      socket.write('NONSENSE\r\n\r\n');
      const { text } = await readToClose(socket);
      note('answer', text.split('\r\n')[0] ?? '', text);
    },
  },
  {
    name: 'SIGTERM in a stream ends the server, and the stream in one of three ways',
    server: 'chat',
    differences: [
      {
        line: /^(?:the last frame|end)/,
        reason:
          'a race inside vLLM: the stream ends with an error, with an abort, or falls silent until the client leaves',
        isRace: true,
      },
    ],
    run: async ({ askQuietly, server, model, note }) => {
      const json = { model, prompt: 'Once upon a time', max_tokens: 220, ignore_eos: true, stream: true };
      const answer = await askQuietly({
        path: '/v1/completions',
        json,
        notify: { at: 'data: ', call: () => server.signal('SIGTERM') },
        patienceMs: 8000,
      });
      const last = eventFrames(answer.body).slice(-2);
      const isHonest = /"finish_reason":"abort"|"error":/.test(last[0]?.data ?? '');
      note('the last frame but one says abort or error', String(isHonest), answer.body.slice(-400).trim());
      note('the last frame', last[1]?.data ?? 'missing');
      note('end', answer.end);
      await noteExit(server, note);
      note('afterwards', (await askQuietly({ path: '/health' })).end);
    },
  },
];

/** How the server ended, and whether it took its processes along. */
async function noteExit(server: EngineServer, note: CaseContext['note']): Promise<void> {
  const outcome = await server.exited(30_000);
  note('exit', `code ${outcome.code}, signal ${outcome.signal}`);
  // Python's own trackers end a moment after their server.
  const deadline = performance.now() + 5000;
  while (server.group().length > 0 && performance.now() < deadline) await delay(50);
  note('processes left', String(server.group().length));
}

export const plainCases: readonly ContractCase[] = [
  {
    name: 'with its flag X-Request-Id is echoed on every answer',
    server: 'plain',
    run: async ({ ask }) => {
      const headers = { 'x-request-id': 'my-own.id_2' };
      await ask('ours', { path: '/v1/models', headers });
      await ask('an error', { path: '/no/such/path', headers });
    },
  },
  {
    name: 'with its flag an answer gets an X-Request-Id of the engine',
    server: 'plain',
    run: async ({ askQuietly, note }) => {
      const answer = await askQuietly({ path: '/version' });
      const id = answer.headers.find(([name]) => name === 'x-request-id')?.[1] ?? 'none';
      note('form', id.replaceAll(/[0-9a-f]/g, 'h'), id);
    },
  },
  {
    name: 'without a served name the model argument is the name',
    server: 'plain',
    run: async ({ askQuietly, server, note }) => {
      const { body } = await askQuietly({ path: '/v1/models' });
      const list: { data: { id: string; root: string }[] } = JSON.parse(body);
      note('cards', String(list.data.length));
      note('id is root', String(list.data[0]?.id === list.data[0]?.root));
      note('served', String(server.lines.length > 0));
    },
  },
  {
    name: 'documentation routes can be switched off',
    server: 'plain',
    run: async ({ ask }) => {
      await ask('/docs', { path: '/docs' });
      await ask('/openapi.json', { path: '/openapi.json' });
    },
  },
  {
    name: 'without keys an Authorization header changes nothing',
    server: 'plain',
    run: async ({ ask }) => {
      await ask('GET', { path: '/v1/models', headers: { authorization: `Bearer ${apiKey}` } });
    },
  },
  {
    name: 'SIGTERM ends an idle server at once with code 0',
    server: 'plain',
    run: async ({ server, note }) => {
      const began = performance.now();
      server.signal('SIGTERM');
      await server.exited(30_000);
      const tookMs = performance.now() - began;
      note('within 10 s', String(tookMs < 10_000), `${Math.round(tookMs)} ms`);
      await noteExit(server, note);
      const texts = server.lines.map((line) => line.text);
      note('says so', String(texts.some((text) => text.includes('Application shutdown complete'))));
    },
  },
];
