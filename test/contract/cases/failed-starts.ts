/** Starts that fail: the exit code and the words by which the gateway tells what was wrong. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diagnoseVllm } from '../../../src/engines/vllm/diagnosis.ts';
import { writeDummyModel } from '../../../tools/real-vllm/dummy-model.ts';
import type { CaseContext, ContractCase, LoneStart } from '../contract-case.ts';
import type { StartOutcome } from '../engine-server.ts';
import { normaliseText } from '../shape.ts';

/** Notes how the start ended, the words that `pattern` finds in its output, and what the gateway makes of both. */
function noteFailure({ note }: CaseContext, outcome: StartOutcome, pattern: RegExp): void {
  note('exit', `code ${outcome.code}, signal ${outcome.signal}`);
  const line = outcome.lines.find(({ text }) => pattern.test(text));
  const words = pattern.exec(line?.text ?? '')?.[0] ?? 'missing';
  note('text', normaliseText(words), `${line?.stream}: ${line?.text.slice(0, 500)}`);
  const diagnosis = diagnoseVllm(
    outcome,
    outcome.lines.map(({ text }) => text),
  );
  note('diagnosis', `${diagnosis.cause}, retryable ${diagnosis.retryable}`, diagnosis.text);
}

function fails(name: string, options: LoneStart, pattern: RegExp): ContractCase {
  return {
    name,
    server: 'none',
    run: async (context) => noteFailure(context, await context.startAlone(options), pattern),
  };
}

export const failedStartCases: readonly ContractCase[] = [
  {
    name: 'start: a port that somebody else holds',
    server: 'none',
    run: async (context) => {
      const holder = createServer();
      await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
      const address = holder.address();
      const port = typeof address === 'object' && address !== null ? String(address.port) : '';
      try {
        const outcome = await context.startAlone({ flags: ['--host', '127.0.0.1', '--port', port] });
        noteFailure(context, outcome, /OSError: \[Errno 98\] Address already in use/);
      } finally {
        holder.close();
      }
    },
  },
  {
    name: 'start: a socket file that is already there',
    server: 'none',
    run: async (context) => {
      const directory = mkdtempSync(join(tmpdir(), 'vllm-contract-'));
      const path = join(directory, 'stale.sock');
      writeFileSync(path, '');
      try {
        const outcome = await context.startAlone({ flags: ['--uds', path] });
        noteFailure(context, outcome, /OSError: \[Errno 98\] Address already in use/);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  },
  fails('start: an unknown flag', { flags: ['--no-such-flag'] }, /error: unrecognized arguments: .*/),
  fails(
    'start: a flag without its value',
    { flags: ['--max-model-len'] },
    /error: argument .*: expected one argument/,
  ),
  fails(
    'start: a context longer than the model',
    { flags: ['--max-model-len', '100000'] },
    /User-specified max_model_len \(\d+\) is greater than the derived max_model_len \(.*?=/,
  ),
  fails(
    'start: a KV cache too small for one request',
    {
      flags: ['--max-model-len', '2048', '--kv-cache-memory-bytes', '1M'],
      simulatedFlags: ['--sim-kv-bytes-per-token', '1024'],
      // On a processor this variable would win over the flag.
      environment: { VLLM_CPU_KVCACHE_SPACE: null },
    },
    /To serve at least one request with the model's max seq len \(\d+\), .*/,
  ),
  fails(
    'start: a tool parser that nobody knows',
    { flags: ['--enable-auto-tool-choice', '--tool-call-parser', 'no-such-parser'] },
    /KeyError: 'invalid tool call parser: \S+ \(chose from \{/,
  ),
  fails(
    'start: tool choice without a parser',
    { flags: ['--enable-auto-tool-choice'] },
    /TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser/,
  ),
  {
    name: 'start: a directory that holds no model',
    server: 'none',
    run: async (context) => {
      const directory = mkdtempSync(join(tmpdir(), 'vllm-contract-'));
      try {
        const outcome = await context.startAlone({
          flags: [],
          model: directory,
          simulatedFlags: ['--sim-fault', 'fail@start:repository'],
        });
        noteFailure(context, outcome, /Invalid repository ID or local directory specified/);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  },
  {
    name: 'start: an architecture that vLLM does not know',
    server: 'none',
    run: async (context) => {
      const directory = mkdtempSync(join(tmpdir(), 'vllm-contract-'));
      try {
        await writeDummyModel(directory, 'NoSuchForCausalLM');
        const outcome = await context.startAlone({
          flags: [],
          model: directory,
          simulatedFlags: ['--sim-fault', 'fail@start:architecture'],
        });
        noteFailure(context, outcome, /are not supported for now\./);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  },
  {
    name: 'start: SIGTERM while it starts',
    server: 'none',
    differences: [
      {
        line: /^exit:/,
        reason:
          'a race inside vLLM: at most moments the signal ends the start, at some it is lost and the start hangs',
        isRace: true,
      },
    ],
    run: async (context) => {
      const outcome = await context.startAlone({
        flags: [],
        // It loads for a moment only, and would serve before a busy machine gets to the signal.
        simulatedFlags: ['--sim-fault', 'hang@loading'],
        patienceMs: 25_000,
        whenOutput: { text: 'Using max model len', call: (server) => server.signal('SIGTERM') },
      });
      context.note('exit', `code ${outcome.code}, signal ${outcome.signal}`);
      context.note('serving', String(outcome.lines.some(({ text }) => text.includes('startup complete'))));
    },
  },
];
