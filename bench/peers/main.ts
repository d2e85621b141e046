/**
 * The gateway beside other proxies, in one run on one machine, all in front of the same stub engine: what they cost per
 * request and per streamed chunk, the latency they add, memory with many streams, long requests, and what a swap costs
 * beyond an engine's own start. Installs what it needs outside the checkout. Absolute figures drift with the machine; the
 * ratios are what counts. Prints tables; writes `peers.json` and `peers.svg` into `--out`.
 *
 *   npm run bench:peers [-- --only cost,latency,streams,large,growth,swap] [--peers gateway,nginx,vllm-router,llama-swap,litellm]
 *                       [--rounds 3] [--seconds 4] [--streams 2] [--out docs/performance]
 *
 * llama-swap takes part when LLAMA_SWAP_BIN names its binary.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withContenders } from './bench-run.ts';
import { costChart } from './chart.ts';
import { type CostRow, measureCost } from './cost.ts';
import { type GrowthResult, measureGrowth } from './growth.ts';
import { type LargeRow, measureLarge } from './large.ts';
import { type LatencyRow, measureLatency } from './latency.ts';
import { findPeer, PEER_NAMES, type Peer } from './peer.ts';
import { measureStreams, STREAM_EVENT_INTERVAL_MS, type StreamsRow } from './streams.ts';
import { costTable, largeTable, latencyTable, streamsTable } from './tables.ts';

const PARTS = ['cost', 'latency', 'streams', 'large', 'growth', 'swap'] as const;
type Part = (typeof PARTS)[number];
/** Its thousand streams and long bodies take minutes, and say nothing that its cost per request does not say. */
const TOO_SLOW_FOR_CROWDS = 'litellm';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: PARTS.join() },
    peers: { type: 'string', default: PEER_NAMES.join() },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    streams: { type: 'string', default: '2' },
    out: { type: 'string', default: 'docs/performance' },
  },
});
const parts = chosen(values.only, PARTS);
const settings = {
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  streams: Number(values.streams),
};

interface Results {
  readonly measuredOn: string;
  readonly cores: number;
  /** Others' work on the machine before the run. */
  readonly loadBefore: number;
  readonly skipped: Readonly<Record<string, string>>;
  cost?: readonly CostRow[];
  latency?: readonly LatencyRow[];
  streams?: readonly StreamsRow[];
  large?: readonly LargeRow[];
  growth?: GrowthResult;
  swap?: unknown;
}

const peers: Peer[] = [];
const skipped: Record<string, string> = {};
for (const name of chosen(values.peers, PEER_NAMES)) {
  const found = await findPeer(name);
  if ('reason' in found) {
    skipped[name] = found.reason;
    console.error(`${name} is left out: ${found.reason}`);
  } else peers.push(found);
}
const quick = peers.filter(({ name }) => name !== TOO_SLOW_FOR_CROWDS);
const results: Results = {
  measuredOn: new Date().toISOString().slice(0, 10),
  cores: availableParallelism(),
  loadBefore: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  skipped,
};

for (const part of parts) {
  console.error(`measuring: ${part}`);
  await measure(part);
}
await mkdir(values.out, { recursive: true });
await writeFile(join(values.out, 'peers.json'), `${JSON.stringify(results, null, 2)}\n`);
if (results.cost !== undefined) await writeFile(join(values.out, 'peers.svg'), costChart(results.cost));

async function measure(part: Part): Promise<void> {
  switch (part) {
    case 'cost':
      results.cost = await withContenders(peers, undefined, (all) => measureCost(all, settings));
      show(costTable(results.cost));
      return;
    case 'latency':
      results.latency = await withContenders(peers, undefined, (all, enginePort) =>
        measureLatency(all, enginePort, settings),
      );
      show(latencyTable(results.latency));
      return;
    case 'streams':
      results.streams = await withContenders(quick, STREAM_EVENT_INTERVAL_MS, measureStreams);
      show(streamsTable(results.streams));
      return;
    case 'large':
      results.large = await withContenders(quick, undefined, (all) => measureLarge(all, settings));
      show(largeTable(results.large));
      return;
    case 'growth': {
      const ours = peers.filter(({ name }) => name === 'gateway');
      results.growth = await withContenders(ours, undefined, async ([gateway]) => {
        if (gateway === undefined) throw new Error('growth is measured of the gateway only');
        return measureGrowth(gateway);
      });
      show(JSON.stringify(results.growth));
      return;
    }
    case 'swap':
      results.swap = swapOverhead();
      show(JSON.stringify(results.swap));
      return;
  }
}

/** `bench:swap` in a process of its own: what a request pays beyond its engine's start, for eight start times. */
function swapOverhead(): unknown {
  const file = fileURLToPath(new URL('../swap/main.ts', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`bench/swap ended with ${status}`);
  return JSON.parse(stdout);
}

function show(text: string): void {
  console.log(`\n${text}`);
}

function chosen<T extends string>(text: string, known: readonly T[]): T[] {
  return text.split(',').map((word) => {
    const found = known.find((one) => one === word.trim());
    if (found === undefined) throw new Error(`unknown: ${word} (there are ${known.join(', ')})`);
    return found;
  });
}
