/** What the benchmarks of the byte path start: the stub engines and the gateway in front of them. */
import type { ChildProcess } from 'node:child_process';
import { startScript } from './processes.ts';
import { startServe } from './serve.ts';
import { CHUNK_INTERVAL_MS, ENGINE_PROCESSES } from './workload.ts';

/** The whole gateway as users run it, or only its front and byte path. */
export type GatewayTarget = 'serve' | 'front';

export interface Started {
  readonly child: ChildProcess;
  readonly port: number;
}

/** Stub engines that share one port. */
export async function startEngines(
  children: ChildProcess[],
  chunkIntervalMs: number = CHUNK_INTERVAL_MS,
): Promise<number> {
  const interval = String(chunkIntervalMs);
  const first = await startScript('stub-engine.ts', ['0', interval]);
  children.push(first.child);
  for (let more = 1; more < ENGINE_PROCESSES; more++) {
    children.push((await startScript('stub-engine.ts', [first.line, interval])).child);
  }
  return Number(first.line);
}

export async function startGateway(
  target: GatewayTarget,
  directory: string,
  enginePort: number,
  nodeOptions: readonly string[] = [],
): Promise<Started> {
  if (target === 'serve') return startServe(directory, enginePort, nodeOptions);
  const { child, line } = await startScript('front.ts', [String(enginePort)], nodeOptions);
  return { child, port: Number(line) };
}

export function gatewayTarget(text: string): GatewayTarget {
  if (text === 'serve' || text === 'front') return text;
  throw new Error(`unknown target ${text}: serve or front`);
}
