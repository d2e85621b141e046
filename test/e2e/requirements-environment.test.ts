/** R2, T2 and R3 of the original's document, and the part of R6 that is read from the environment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RunningGateway,
  runGatewayCommand,
  simulatedConfig,
  simulatedModel,
  startGateway,
} from '../fixtures/gateway.ts';
import { scrape } from '../fixtures/metrics-page.ts';
import { chat } from '../fixtures/requests.ts';

const ERROR_LEVEL = 50;

interface InvalidInteger {
  readonly key: string;
  readonly value: string;
  readonly range: string;
  readonly default: number;
}

/** The error lines about the environment; each names its key first. */
function errorLines(gateway: RunningGateway): readonly string[] {
  return gateway.log
    .filter(({ level, msg }) => level === ERROR_LEVEL && msg.startsWith('GATEWAY_'))
    .map(({ msg }) => msg);
}

function assertNames(line: string | undefined, invalid: InvalidInteger): void {
  assert.ok(line !== undefined, `no error line about ${invalid.key}`);
  for (const part of [invalid.key, invalid.value, invalid.range, `default ${invalid.default}`]) {
    assert.ok(line.includes(part), `"${line}" does not name ${part}`);
  }
}

async function withGateway(
  environment: Readonly<Record<string, string>>,
  use: (gateway: RunningGateway) => Promise<void>,
): Promise<void> {
  const gateway = await startGateway({
    config: simulatedConfig({ a: simulatedModel() }),
    environment,
    // The original's environment listens on every address unless told otherwise.
    args: ['--host', '127.0.0.1'],
  });
  try {
    await use(gateway);
  } finally {
    await gateway.stop();
  }
}

test('T2: with GATEWAY_MAX_CONCURRENT=0 an error is logged, the default is used and requests work', () =>
  withGateway({ GATEWAY_MAX_CONCURRENT: '0' }, async (gateway) => {
    const lines = errorLines(gateway);
    assert.equal(lines.length, 1);
    assertNames(lines[0], { key: 'GATEWAY_MAX_CONCURRENT', value: '0', range: '1..1000', default: 50 });
    const { queue_status } = await gateway.status();
    assert.equal(queue_status['a']?.max_concurrent, 50);
    assert.equal((await chat(gateway.url, 'a')).status, 200);
    assert.equal((await scrape(gateway.url)).sum('vllm_gateway_configuration_errors_total'), 1);
  }));

test('R2: zero, negative, too large and not a number are each logged with key, value, range and default', () =>
  withGateway(
    {
      GATEWAY_MAX_QUEUE_SIZE: '-5',
      GATEWAY_MAX_CONCURRENT: '1001',
      GATEWAY_MAX_MODELS_CONCURRENT: '0',
      GATEWAY_HTTP_TIMEOUT: 'soon',
    },
    async (gateway) => {
      const invalid: readonly InvalidInteger[] = [
        { key: 'GATEWAY_MAX_QUEUE_SIZE', value: '-5', range: '1..10000', default: 200 },
        { key: 'GATEWAY_MAX_CONCURRENT', value: '1001', range: '1..1000', default: 50 },
        { key: 'GATEWAY_MAX_MODELS_CONCURRENT', value: '0', range: '1..20', default: 3 },
        { key: 'GATEWAY_HTTP_TIMEOUT', value: 'soon', range: '60..3600', default: 300 },
      ];
      const lines = errorLines(gateway);
      assert.equal(lines.length, invalid.length);
      for (const one of invalid)
        assertNames(
          lines.find((line) => line.startsWith(one.key)),
          one,
        );
      const { queue_status } = await gateway.status();
      assert.deepEqual(queue_status['a'], { queue_depth: 0, max_concurrent: 50, max_queue_size: 200 });
      assert.equal((await chat(gateway.url, 'a')).status, 200);
      assert.equal((await scrape(gateway.url)).sum('vllm_gateway_configuration_errors_total'), 4);
    },
  ));

test('R3: the two start-up lines tell the limits and the pool, word for word', () =>
  withGateway(
    {
      GATEWAY_MAX_QUEUE_SIZE: '120',
      GATEWAY_MAX_CONCURRENT: '40',
      GATEWAY_MAX_MODELS_CONCURRENT: '4',
      GATEWAY_HTTP_TIMEOUT: '90',
    },
    async (gateway) => {
      const texts = gateway.log.map(({ msg }) => msg);
      for (const line of [
        'Gateway Configuration: MAX_QUEUE_SIZE=120, MAX_CONCURRENT=40, MAX_MODELS_CONCURRENT=4',
        'HTTP Client Pool: max_connections=160, max_keepalive_connections=160',
      ]) {
        assert.equal(texts.filter((text) => text === line).length, 1, line);
      }
      assert.deepEqual(errorLines(gateway), []);
      const { queue_status } = await gateway.status();
      assert.deepEqual(queue_status['a'], { queue_depth: 0, max_concurrent: 40, max_queue_size: 120 });
      assert.equal((await scrape(gateway.url)).sum('vllm_gateway_configuration_errors_total'), 0);
    },
  ));

test('R6: GATEWAY_HTTP_TIMEOUT, and its later name before it, is the longest silence of an engine', async () => {
  const shown = async (environment: Readonly<Record<string, string>>): Promise<unknown> => {
    const models = { ALLOWED_MODELS_JSON: '{"a": "org/model"}' };
    const ended = await runGatewayCommand(['check', '--show'], { ...models, ...environment });
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    const { server } = JSON.parse(ended.stdout) as { readonly server: { readonly engineTimeoutMs: number } };
    return server.engineTimeoutMs;
  };
  const [given, later, absent] = await Promise.all([
    shown({ GATEWAY_HTTP_TIMEOUT: '120' }),
    shown({ GATEWAY_HTTP_TIMEOUT: '120', GATEWAY_REQUEST_TIMEOUT: '600' }),
    shown({}),
  ]);
  assert.deepEqual({ given, later, absent }, { given: 120_000, later: 600_000, absent: 300_000 });
});
