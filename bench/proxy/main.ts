/**
 * CPU per request and per streamed chunk of the gateway beside nginx, in one run on one machine: absolute figures drift
 * with the machine, the ratios are what counts. Rounds are interleaved, medians compared. Prints JSON; exits with 1 when
 * a ratio is above its bound and `--check` is given.
 *
 *   npm run bench:proxy [-- --rounds 3] [--seconds 4] [--streams 2] [--target serve|front] [--check]
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nginxIsThere, startNginx } from './nginx.ts';
import { end, residentMib } from './processes.ts';
import { type LoadTarget, median, runLoad } from './run-load.ts';
import { gatewayTarget, startEngines, startGateway } from './targets.ts';

/** Bounds of the ratios to nginx. */
const UNARY_RATIO_MAX = 3.0;
const CHUNK_RATIO_MAX = 2.2;
const WARM_UP_MS = 1500;

interface Proxy {
  readonly name: string;
  readonly child: ChildProcess;
  readonly port: number;
}

interface Figures {
  readonly unaryUs: number[];
  readonly requestsPerSecond: number[];
  readonly chunkUs: number[];
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    streams: { type: 'string', default: '2' },
    target: { type: 'string', default: 'serve' },
    check: { type: 'boolean', default: false },
  },
});
const directory = await mkdtemp(join(tmpdir(), 'bench-proxy-'));
const children: ChildProcess[] = [];

function loadTarget({ child, port }: Proxy): LoadTarget {
  return { pid: child.pid ?? 0, port };
}

async function measure(proxy: Proxy, figures: Figures): Promise<void> {
  const unary = await runLoad(loadTarget(proxy), 'unary', Number(values.seconds) * 1000);
  figures.unaryUs.push(unary.cpuUs / unary.done);
  figures.requestsPerSecond.push(unary.done / unary.seconds);
  const stream = await runLoad(loadTarget(proxy), 'stream', Number(values.streams));
  figures.chunkUs.push(stream.cpuUs / stream.done);
}

async function summary(proxy: Proxy, figures: Figures) {
  return {
    cpuUsPerRequest: median(figures.unaryUs),
    requestsPerSecond: Math.round(median(figures.requestsPerSecond)),
    cpuUsPerChunk: median(figures.chunkUs),
    residentMib: await residentMib(proxy.child.pid ?? 0),
  };
}

async function run(): Promise<boolean> {
  const enginePort = await startEngines(children);
  const target = gatewayTarget(values.target);
  const gateway: Proxy = { name: 'gateway', ...(await startGateway(target, directory, enginePort)) };
  children.push(gateway.child);
  const proxies: Proxy[] = [gateway];
  if (nginxIsThere()) {
    const nginx = await startNginx(directory, enginePort);
    children.push(nginx.child);
    proxies.push({ name: 'nginx', ...nginx });
  } else {
    console.error('nginx is missing and cannot be installed here: figures without ratios');
  }
  const figures = new Map(
    proxies.map((proxy) => [proxy, { unaryUs: [], requestsPerSecond: [], chunkUs: [] } as Figures]),
  );
  for (const proxy of proxies) await runLoad(loadTarget(proxy), 'unary', WARM_UP_MS);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [proxy, own] of figures) await measure(proxy, own);
  }
  const results: Record<string, Awaited<ReturnType<typeof summary>>> = {};
  for (const [proxy, own] of figures) results[proxy.name] = await summary(proxy, own);
  const { gateway: ours, nginx } = results;
  const ratios =
    ours === undefined || nginx === undefined
      ? null
      : {
          perRequest: Math.round((ours.cpuUsPerRequest / nginx.cpuUsPerRequest) * 100) / 100,
          perChunk: Math.round((ours.cpuUsPerChunk / nginx.cpuUsPerChunk) * 100) / 100,
        };
  const bounds = { perRequest: UNARY_RATIO_MAX, perChunk: CHUNK_RATIO_MAX };
  console.log(JSON.stringify({ results, ratios, bounds }, null, 2));
  return ratios === null || (ratios.perRequest <= bounds.perRequest && ratios.perChunk <= bounds.perChunk);
}

try {
  const within = await run();
  if (!within && values.check) process.exitCode = 1;
} finally {
  for (const child of children) await end(child);
  await rm(directory, { recursive: true, force: true });
}
