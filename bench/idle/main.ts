/**
 * What the gateway costs when nobody asks it anything: time until it listens, CPU share and memory at rest, with one
 * engine awake.
 *
 *   npm run bench:idle
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { simulatedConfig, simulatedModel, startGateway } from '../../test/fixtures/gateway.ts';
import { sendChat } from '../../test/fixtures/requests.ts';

const STARTS = 5;
const SETTLE_MS = 5_000;
const WATCH_MS = 20_000;
/** Linux counts CPU time in these. */
const TICKS_PER_SECOND = 100;

const listenMs: number[] = [];
for (let start = 0; start < STARTS; start += 1) {
  const beganMs = performance.now();
  const gateway = await startGateway({ config: simulatedConfig({ a: simulatedModel() }) });
  listenMs.push(performance.now() - beganMs);
  await gateway.stop();
}
const gateway = await startGateway({ config: simulatedConfig({ a: simulatedModel(), b: simulatedModel() }) });
await (await sendChat(gateway.url, 'a')).arrayBuffer();
await pause(SETTLE_MS);
const before = await cpuSeconds(gateway.pid);
await pause(WATCH_MS);
const after = await cpuSeconds(gateway.pid);
const rssMib = await residentMib(gateway.pid);
await gateway.stop();
listenMs.sort((a, b) => a - b);
const result = {
  listen_ms_median: Math.round(listenMs[Math.floor(STARTS / 2)] ?? 0),
  listen_ms_max: Math.round(listenMs.at(-1) ?? 0),
  idle_cpu_percent_of_a_core: Math.round(((after - before) / (WATCH_MS / 1000)) * 10_000) / 100,
  rss_mib: Math.round(rssMib),
};
process.stdout.write(`${JSON.stringify(result)}\n`);

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
