/** CPU for requests of 10 MB with a short answer; rounds interleaved, medians. */
import { median, runLoad } from '../proxy/run-load.ts';
import { type Contender, ratio } from './bench-run.ts';

const EXTRA_BYTES = 10 * 1000 * 1000;
const CLIENTS = 2;

export interface LargeRow {
  readonly name: string;
  readonly cpuMsPerRequest: number;
  /** Over nginx's; null without nginx. */
  readonly ratio: number | null;
}

export async function measureLarge(
  contenders: readonly Contender[],
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<LargeRow[]> {
  const figures = contenders.map((contender) => ({ contender, cpuUs: [] as number[] }));
  const options = { clients: CLIENTS, processes: CLIENTS, extraBytes: EXTRA_BYTES };
  for (let round = 0; round <= rounds; round += 1) {
    for (const { contender, cpuUs } of figures) {
      const result = await runLoad(contender, 'unary', seconds * 1000, options);
      // The first round warms up.
      if (round > 0) cpuUs.push(result.cpuUs / result.done);
    }
  }
  const nginx = figures.find(({ contender }) => contender.peer.name === 'nginx');
  return figures.map(({ contender, cpuUs }) => ({
    name: contender.peer.name,
    cpuMsPerRequest: Math.round(median(cpuUs) / 10) / 100,
    ratio: nginx === undefined ? null : ratio(median(cpuUs), median(nginx.cpuUs)),
  }));
}
