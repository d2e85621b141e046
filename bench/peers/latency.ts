/** Latency that a proxy adds to a request at a fixed rate, over asking the engine directly; rounds interleaved. */
import { end, startScript } from '../proxy/processes.ts';
import { type Contender, quantile } from './bench-run.ts';

const REQUESTS_PER_SECOND = 100;

export interface LatencyRow {
  readonly name: string;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Over the engine asked directly. */
  readonly addedP50Ms: number;
  readonly addedP99Ms: number;
}

export async function measureLatency(
  contenders: readonly Contender[],
  enginePort: number,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<LatencyRow[]> {
  const places = [
    { name: 'direct', port: enginePort, values: [] as number[] },
    ...contenders.map(({ peer, port }) => ({ name: peer.name, port, values: [] as number[] })),
  ];
  for (let round = 0; round < rounds; round += 1) {
    for (const place of places) place.values.push(...(await ask(place.port, seconds)));
  }
  const [direct] = places;
  return places.map(({ name, values }) => {
    const [p50, p99] = [quantile(values, 0.5), quantile(values, 0.99)];
    return {
      name,
      requestsPerSecond: REQUESTS_PER_SECOND,
      p50Ms: rounded(p50),
      p99Ms: rounded(p99),
      addedP50Ms: rounded(p50 - quantile(direct?.values ?? [], 0.5)),
      addedP99Ms: rounded(p99 - quantile(direct?.values ?? [], 0.99)),
    };
  });
}

async function ask(port: number, seconds: number): Promise<number[]> {
  const { child, line } = await startScript('paced.ts', [port, REQUESTS_PER_SECOND, seconds].map(String));
  await end(child);
  return JSON.parse(line) as number[];
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
