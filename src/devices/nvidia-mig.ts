/**
 * The instances of partitioned NVIDIA cards (MIG): their UUIDs are in `nvidia-smi -L`, their memory is in the report
 * `nvidia-smi -q -x`; both number them alike on their card. Written by the documented formats, not seen on a card.
 */
import type { DeviceId } from '../core/ids.ts';
import type { DeviceCondition } from './device.ts';
import {
  type MigListing,
  type MigMemory,
  type NvidiaGpu,
  parseMigInstances,
  parseMigMemory,
} from './nvidia-parse.ts';
import type { ToolResult } from './run-tool.ts';

export interface MigInstance {
  readonly id: DeviceId;
  readonly name: string;
  readonly gpuUuid: string;
  readonly totalMib: number;
  readonly usedMib: number | null;
}

export interface MigReading {
  readonly instances: readonly MigInstance[];
  readonly conditions: readonly DeviceCondition[];
}

/** `ask` runs the tool with these words. */
export async function readMigInstances(
  partitioned: readonly NvidiaGpu[],
  ask: (words: readonly string[]) => Promise<ToolResult>,
): Promise<MigReading> {
  const listing = await ask(['-L']);
  const report = await ask(['-q', '-x']);
  const listed = parseMigInstances(listing.kind === 'exited' ? listing.stdout : '');
  const memory = parseMigMemory(report.kind === 'exited' ? report.stdout : '');
  const instances: MigInstance[] = [];
  const conditions: DeviceCondition[] = [];
  for (const gpu of partitioned) {
    const found = instancesOf(gpu, listed.get(gpu.uuid) ?? [], memory.get(gpu.uuid) ?? []);
    instances.push(...found.instances);
    conditions.push(...found.conditions);
  }
  return { instances, conditions };
}

function instancesOf(
  gpu: NvidiaGpu,
  listed: readonly MigListing[],
  memory: readonly MigMemory[],
): MigReading {
  const instances: MigInstance[] = [];
  const conditions: DeviceCondition[] = [];
  const taken = new Set<number>();
  for (const { index, uuid, profile } of listed) {
    const own = memory.find((candidate) => candidate.index === index);
    if (own === undefined || own.totalMib === null) {
      const text = `The MIG instance ${uuid} (${profile} of GPU ${gpu.index}) does not tell its memory and is left out.`;
      conditions.push({ code: 'nvidia_mig_memory_unknown', text });
    } else if (taken.has(own.gpuInstance)) {
      const text = `The MIG instance ${uuid} shares the memory of another one of GPU ${gpu.index}, which stands for both, and is left out.`;
      conditions.push({ code: 'nvidia_mig_memory_shared', text });
    } else {
      taken.add(own.gpuInstance);
      const { totalMib, usedMib } = own;
      instances.push({ id: uuid, name: `${gpu.name} MIG ${profile}`, gpuUuid: gpu.uuid, totalMib, usedMib });
    }
  }
  const text = `GPU ${gpu.index} (${gpu.uuid}) is partitioned (MIG): ${instances.length} of its ${listed.length} instances are devices, the card itself is none. A model cannot span instances.`;
  return { instances, conditions: [{ code: 'nvidia_mig_enabled', text }, ...conditions] };
}
