/** `plan --json`: the shape that docs/plan.md describes. Sizes in MiB, times in milliseconds. */
import type { MakingRoom } from '../planning/evictions.ts';
import type { PlannedCosts } from '../planning/plan.ts';
import type { WorstWait } from '../planning/worst-wait.ts';
import { isGood, type PlannedModel, type PlanReport } from './plan-report.ts';
import { VERSION } from './version.ts';

export function planJson(report: PlanReport): object {
  const { config, planned, plan, models, warnings } = report;
  return {
    version: VERSION,
    ok: isGood(report),
    faults: [],
    warnings,
    configuration: config.file,
    placement_mode: config.scheduling.placementMode,
    budget_fraction: config.devices.budgetFraction,
    devices_from: planned.source === '--devices' ? 'command_line' : 'machine',
    devices_complete: planned.complete,
    devices: planned.devices.map(({ id, name, pool, totalMib, budgetMib }) => ({
      id,
      name,
      pool,
      total_mib: totalMib,
      budget_mib: budgetMib,
    })),
    conditions: planned.conditions,
    host_memory:
      planned.host === null
        ? null
        : {
            total_mib: planned.host.totalMib,
            used_mib: planned.host.usedMib,
            budget_mib: planned.host.budgetMib,
          },
    models: models.map((model) => modelJson(model, report)),
    awake_together: {
      exact: plan.together.exact,
      sets: plan.together.sets,
      crowded_out: plan.together.crowdedOut,
    },
    sleepers: { able: plan.sleepers.able, most_at_once: plan.sleepers.mostAtOnce },
  };
}

function modelJson({ model, size, need, parsers }: PlannedModel, { plan, planned }: PlanReport): object {
  const { name, repo } = model;
  if (size === null) return { name, repo, external: true };
  const { parts } = size;
  return {
    name,
    repo,
    external: false,
    pool: model.need.pool,
    always_on: model.alwaysOn,
    source: size.source,
    why: size.why,
    facts_from: size.factsOrigin,
    assumptions: size.assumptions,
    device_count: size.deviceCount,
    configured_device_count: model.need.deviceCount,
    per_device: {
      whole_device: size.memoryMibPerDevice === null,
      weights_mib: parts?.weightsMib ?? null,
      kv_cache_mib: parts?.kvMib ?? null,
      overhead_mib: parts?.overheadMib ?? null,
      total_mib: size.memoryMibPerDevice,
      kv_cache_bytes: size.kvCacheBytes,
    },
    // Devices that could not be read may hold it.
    never_fits: planned.complete ? (plan.neverFits.get(name) ?? null) : null,
    sleep:
      need === null || need.sleepLevel === 0
        ? null
        : {
            level: need.sleepLevel,
            residue_mib: need.residueMib,
            host_awake_mib: need.hostAwakeMib,
            host_asleep_mib: need.hostAsleepMib,
          },
    costs: costsJson(plan.costs.get(name)),
    making_room: roomJson(plan.makingRoom.get(name)),
    worst_wait: waitJson(plan.worstWaits.get(name)),
    parsers,
  };
}

function costsJson(costs: PlannedCosts | undefined): object | null {
  if (costs === undefined) return null;
  const { startMs, stopMs, sleepMs, wakeMs, quantumMs, basis } = costs;
  return {
    start_ms: whole(startMs),
    stop_ms: whole(stopMs),
    sleep_ms: whole(sleepMs),
    wake_ms: whole(wakeMs),
    turn_ms: whole(quantumMs),
    basis,
  };
}

function roomJson(room: MakingRoom | undefined): object | null {
  if (room === undefined) return null;
  if (room.kind !== 'evict') return room;
  const { kind, victims, roomInMs, servesInMs } = room;
  return { kind, victims, room_in_ms: whole(roomInMs), serves_in_ms: whole(servesInMs) };
}

function waitJson(wait: WorstWait | undefined): object | null {
  if (wait === undefined) return null;
  if (wait.kind === 'none') return { bound_ms: null, why: wait.why };
  const { rule, coldMs, asleepMs, others } = wait;
  return { bound_ms: whole(coldMs), while_asleep_ms: whole(asleepMs), rule, others };
}

function whole(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}
