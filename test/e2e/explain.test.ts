/** `vllm-gateway explain`: what it tells of a model that waits is what comes true, and what it says where it cannot ask. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runGatewayCommand, simulatedConfig, simulatedModel, startGateway } from '../fixtures/gateway.ts';
import { chat, untilCounts } from '../fixtures/requests.ts';

interface Explained {
  readonly why: string;
  readonly ready_in_seconds: number;
  readonly explanation: {
    readonly steps: readonly { readonly kind: string; readonly expected_seconds: number }[];
    readonly ahead_count: number;
  };
  readonly last_decisions: readonly { readonly kind: string; readonly reason: string; readonly at: string }[];
}

test('a waiting model: the sentence, the steps that add up, and what was decided', async () => {
  const gateway = await startGateway({
    config: simulatedConfig({
      busy: simulatedModel({ args: ['--sim-tokens-per-second', 20] }),
      next: simulatedModel({ loadSeconds: 0.3 }),
    }),
  });
  try {
    const stream = chat(gateway.url, 'busy', { stream: true, tokens: 60 });
    await untilCounts(gateway, 'busy', { running: 1, waiting: 0 });
    const other = chat(gateway.url, 'next');
    await untilCounts(gateway, 'next', { running: 0, waiting: 1 });

    const shown = await runGatewayCommand(['explain', 'next', '--url', gateway.url]);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /^next: waiting \d/);
    assert.match(shown.stdout, /to start/);

    const asked = await runGatewayCommand(['explain', 'next', '--url', gateway.url, '--json']);
    const found = JSON.parse(asked.stdout) as Explained;
    const sum = found.explanation.steps.reduce((total, step) => total + step.expected_seconds, 0);
    assert.ok(Math.abs(sum - found.ready_in_seconds) < 0.01, `${sum} and ${found.ready_in_seconds}`);
    assert.match(found.why, /busy.*, then .* to start$/);

    await Promise.all([stream, other]);
    const watched = await runGatewayCommand(['explain', 'next', '--url', gateway.url, '--watch']);
    assert.match(watched.stdout, /it is awake[\s\S]*dispatch {2}its engine is awake and has a free slot/);
    const { last_decisions: decisions } = JSON.parse(
      (await runGatewayCommand(['explain', 'busy', '--url', gateway.url, '--json'])).stdout,
    ) as Explained;
    assert.ok(
      decisions.some(({ reason }) => /next waits for its devices/.test(reason)),
      JSON.stringify(decisions),
    );
  } finally {
    await gateway.stop();
  }
});

test('a name that is nearly right, and a key that is wanted', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vg-explain-'));
  const keys = join(directory, 'keys');
  await writeFile(keys, '# ours\noperator: a-long-enough-key\n', { mode: 0o600 });
  const config = simulatedConfig({ 'qwen-medium': simulatedModel() });
  const gateway = await startGateway({ config, args: ['--api-keys-file', keys] });
  try {
    const refused = await runGatewayCommand(['explain', 'qwen-medium', '--url', gateway.url]);
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /wants an API key: set VLLM_GATEWAY_API_KEY/);
    const wrong = await runGatewayCommand(['explain', 'qwen-medum', '--url', gateway.url], {
      VLLM_GATEWAY_API_KEY: 'a-long-enough-key',
    });
    assert.deepEqual(
      [wrong.code, wrong.stdout],
      [2, 'the gateway has no model `qwen-medum`; did you mean `qwen-medium`?\n'],
    );
    // Found by its configuration: the port is a free one that only the running gateway knows.
    const where = ['--config', join(gateway.directory, 'models.yaml')];
    where.push('--state-directory', join(gateway.directory, 'state'));
    const found = await runGatewayCommand(['explain', 'qwen-medium', ...where, '--api-key-file', keys]);
    assert.equal(found.code, 0, found.stdout);
    assert.match(found.stdout, /^qwen-medium: \d.* to start\n/);
  } finally {
    await gateway.stop();
    await rm(directory, { recursive: true, force: true });
  }
});

test('where no gateway listens it says what to do', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  const { code, stdout } = await runGatewayCommand(['explain', 'm', '--url', `http://127.0.0.1:${port}`]);
  assert.equal(code, 1);
  assert.match(
    stdout,
    /no gateway listens on .*: start one with `vllm-gateway serve`, or name its address with --url/,
  );
});
