/**
 * Many streams at once, 50 events a second each: the memory of each peer at 1,000 of them, and the most that it carries on
 * this machine without falling behind. Every stream is checked to be whole.
 */
import { cpuMicroseconds, residentMib } from '../proxy/processes.ts';
import { runLoad } from '../proxy/run-load.ts';
import { STREAM_CHUNKS } from '../proxy/workload.ts';
import type { Contender } from './bench-run.ts';

export const STREAM_EVENT_INTERVAL_MS = 20;
const STREAMS = [1_000, 800, 600, 400, 200] as const;
/** A run that takes this much longer than its events do has fallen behind. */
const LAG_MAX = 1.1;
const CONNECT_ALLOWANCE_S = 0.5;

export interface StreamsRow {
  readonly name: string;
  /** The most that it ever had, after 1,000 streams at once. */
  readonly peakMib: number;
  /** Of 1,000 streams: how long they took over the time in which the engine is to send them. */
  readonly lagAt1000: number;
  /** The most of those tried that were in time; null: none of them. */
  readonly streamsInTime: number | null;
  /** Of one core, with that many. */
  readonly cpuShare: number | null;
}

export async function measureStreams(contenders: readonly Contender[]): Promise<StreamsRow[]> {
  const rows: StreamsRow[] = [];
  for (const contender of contenders) {
    const { name } = contender.peer;
    let lagAt1000 = Number.NaN;
    let inTime: { readonly streams: number; readonly cpuShare: number } | null = null;
    for (const streams of STREAMS) {
      console.error(`${name}: ${streams} streams at once`);
      const before = await cpuMicroseconds(contender.pid);
      const run = await runLoad(contender, 'stream', 1, { clients: streams }).catch(() => null);
      if (run === null) break;
      const cpuUs = (await cpuMicroseconds(contender.pid)) - before;
      const nominalS = ((STREAM_CHUNKS + 1) * STREAM_EVENT_INTERVAL_MS) / 1000;
      const lag = run.seconds / (nominalS + CONNECT_ALLOWANCE_S);
      if (streams === STREAMS[0]) lagAt1000 = Math.round(lag * 100) / 100;
      if (lag > LAG_MAX) continue;
      inTime = { streams, cpuShare: Math.round(cpuUs / run.seconds / 10_000) / 100 };
      break;
    }
    rows.push({
      name,
      peakMib: await residentMib(contender.pid, 'peak'),
      lagAt1000,
      streamsInTime: inTime?.streams ?? null,
      cpuShare: inTime?.cpuShare ?? null,
    });
  }
  return rows;
}
