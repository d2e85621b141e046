/** CPU per request and per streamed chunk, requests per second and memory of each peer; rounds interleaved, medians. */
import { residentMib } from '../proxy/processes.ts';
import { median, runLoad } from '../proxy/run-load.ts';
import { type Contender, ratio } from './bench-run.ts';

const WARM_UP_MS = 2_000;

export interface CostRow {
  readonly name: string;
  readonly version: string;
  readonly cpuUsPerRequest: number;
  /** Over nginx's; null without nginx. */
  readonly perRequest: number | null;
  readonly requestsPerSecond: number;
  /** Null: its streams were not whole. */
  readonly cpuUsPerChunk: number | null;
  readonly perChunk: number | null;
  readonly residentMib: number;
}

interface Figures {
  readonly requestUs: number[];
  readonly perSecond: number[];
  readonly chunkUs: number[];
  streamFault: string | null;
}

/** `streams`: one after the other for each client. */
export async function measureCost(
  contenders: readonly Contender[],
  settings: { readonly rounds: number; readonly seconds: number; readonly streams: number },
): Promise<CostRow[]> {
  const figures = new Map<Contender, Figures>();
  for (const contender of contenders) {
    await runLoad(contender, 'unary', WARM_UP_MS);
    figures.set(contender, { requestUs: [], perSecond: [], chunkUs: [], streamFault: null });
  }
  for (let round = 1; round <= settings.rounds; round += 1) {
    for (const [contender, own] of figures) {
      console.error(`round ${round} of ${settings.rounds}: ${contender.peer.name}`);
      await measureOnce(contender, own, settings);
    }
  }
  const rows: CostRow[] = [];
  const nginx = [...figures].find(([{ peer }]) => peer.name === 'nginx')?.[1] ?? null;
  for (const [{ peer, pid }, own] of figures) {
    const requestUs = median(own.requestUs);
    const chunkUs = own.streamFault === null ? median(own.chunkUs) : null;
    rows.push({
      name: peer.name,
      version: peer.version,
      cpuUsPerRequest: requestUs,
      perRequest: nginx === null ? null : ratio(requestUs, median(nginx.requestUs)),
      requestsPerSecond: Math.round(median(own.perSecond)),
      cpuUsPerChunk: chunkUs,
      perChunk: nginx === null || chunkUs === null ? null : ratio(chunkUs, median(nginx.chunkUs)),
      residentMib: await residentMib(pid),
    });
  }
  return rows;
}

async function measureOnce(
  contender: Contender,
  own: Figures,
  { seconds, streams }: { readonly seconds: number; readonly streams: number },
): Promise<void> {
  const unary = await runLoad(contender, 'unary', seconds * 1000);
  own.requestUs.push(unary.cpuUs / unary.done);
  own.perSecond.push(unary.done / unary.seconds);
  if (own.streamFault !== null) return;
  try {
    const stream = await runLoad(contender, 'stream', streams);
    own.chunkUs.push(stream.cpuUs / stream.done);
  } catch (error) {
    own.streamFault = error instanceof Error ? error.message : String(error);
    console.error(`${contender.peer.name}: its streams are not whole (${own.streamFault})`);
  }
}
