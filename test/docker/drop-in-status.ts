/** What the original's clients read in GET /gateway/status, key by key with its type. */
import assert from 'node:assert/strict';

type Objects = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface OriginalStatus {
  readonly pools: Readonly<Record<string, readonly string[]>>;
  readonly gpus: Objects;
  readonly active_containers: Readonly<
    Record<
      string,
      { readonly container_name: string; readonly status: string; readonly gpu_uuids: readonly string[] }
    >
  >;
  readonly queue_status: Readonly<
    Record<string, { readonly queue_depth: number; readonly max_queue_size: number }>
  >;
  readonly total_gpu_vram_mib: number;
  readonly placement_mode: string;
}

const TOP = {
  total_gpu_vram_mib: 'number',
  placement_mode: 'string',
  gpu_budget_fraction: 'number',
  pools: 'object',
  gpus: 'object',
  known_footprints_mib: 'object',
  active_containers: 'object',
  queue_status: 'object',
};
const GPU = {
  pool: 'string',
  total_mib: 'number',
  used_mib: 'number',
  reserved_mib: 'number',
  budget_mib: 'number|null',
  residents: 'list',
};
const CONTAINER = {
  model_id: 'string',
  container_name: 'string',
  status: 'string',
  gpu_uuids: 'list',
  active_requests: 'number',
  last_request_time: 'number',
  reserved_mib: 'number',
  vram_footprint: 'number',
  effective_util: 'number',
};
const QUEUE = { queue_depth: 'number', max_concurrent: 'number', max_queue_size: 'number' };

export async function readOriginalStatus(url: string): Promise<OriginalStatus> {
  const answer = await fetch(`${url}/gateway/status`);
  assert.equal(answer.status, 200);
  const status = (await answer.json()) as Readonly<Record<string, unknown>>;
  assertTypes('status', status, TOP);
  for (const [key, types] of Object.entries({
    gpus: GPU,
    active_containers: CONTAINER,
    queue_status: QUEUE,
  })) {
    for (const [name, one] of Object.entries(status[key] as Objects)) {
      assertTypes(`${key}.${name}`, one, types);
    }
  }
  return status as unknown as OriginalStatus;
}

function assertTypes(
  what: string,
  value: Readonly<Record<string, unknown>>,
  types: Readonly<Record<string, string>>,
): void {
  for (const [key, type] of Object.entries(types)) {
    const found = Array.isArray(value[key]) ? 'list' : value[key] === null ? 'null' : typeof value[key];
    assert.ok(type.split('|').includes(found), `${what}.${key} is ${found} and not ${type}`);
  }
}
