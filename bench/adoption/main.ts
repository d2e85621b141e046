/**
 * From the start of a gateway until it serves again with N engines of an earlier one that was killed: until it listens, until
 * every model has answered a request, and how long the gateway itself took for it (`/ready`).
 *
 *   npm run bench:adoption
 */
import { simulatedModel, startGateway, until } from '../../test/fixtures/gateway.ts';
import { sendChat } from '../../test/fixtures/requests.ts';

const COUNTS = [1, 4, 8, 16];
const ROUNDS = 5;
const MODEL_MIB = 1_024;

interface Times {
  readonly listen: number;
  readonly ready: number;
  readonly allServed: number;
}

for (const count of COUNTS) {
  const names = Array.from({ length: count }, (_, index) => `m${index}`);
  const config = {
    server: { shutdown_delay: 0, shutdown_drain: 5 },
    devices: {
      source: 'simulated',
      simulated: [{ id: 'sim-gpu-0', memory_mib: (count + 1) * MODEL_MIB * 2 }],
    },
    models: Object.fromEntries(names.map((name) => [name, simulatedModel({ memoryMib: MODEL_MIB })])),
  };
  let gateway = await startGateway({ config });
  // One after the other: starts on one device are.
  for (const name of names) await serve(gateway.url, name);
  const times: Times[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await gateway.kill({ keep: true });
    const beganMs = performance.now();
    gateway = await startGateway({ config, directory: gateway.directory });
    const listen = performance.now() - beganMs;
    const { url } = gateway;
    const readiness = until('it is ready', async () => (await fetch(`${url}/ready`)).ok);
    const [ready] = await Promise.all([
      readiness.then(() => performance.now() - beganMs),
      ...names.map((name) => serve(url, name)),
    ]);
    times.push({ listen, ready, allServed: performance.now() - beganMs });
  }
  const starts = await gateway.metric('vllm_gateway_engine_moves_total{model="m0",move="start"}');
  await gateway.stop();
  if (starts > 0) throw new Error('an engine was started anew: nothing was measured');
  const result = {
    adopted_engines: count,
    listen_ms_median: median(times.map(({ listen }) => listen)),
    ready_ms_median: median(times.map(({ ready }) => ready)),
    all_models_served_ms_median: median(times.map(({ allServed }) => allServed)),
    all_models_served_ms_max: Math.round(Math.max(...times.map(({ allServed }) => allServed))),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function serve(url: string, model: string): Promise<void> {
  const answer = await sendChat(url, model);
  if (answer.status !== 200) throw new Error(`${model}: ${answer.status} ${await answer.text()}`);
  await answer.arrayBuffer();
}

function median(values: readonly number[]): number {
  return Math.round(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0);
}
