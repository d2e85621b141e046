/** What lists and gauges show of each model, read from the scheduler's state. */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import type { ModelCard } from '../http/own-routes.ts';
import { reservationOf } from '../scheduler/engine-state.ts';
import type { SchedulerState } from '../scheduler/state.ts';
import type { ModelGauges } from '../telemetry/metrics.ts';

/** The configured names, with those of adapters and exact aliases beside them, as clients may ask for them. */
export function modelCards(state: SchedulerState, config: ResolvedConfig, startedS: number): ModelCard[] {
  const parents = new Map<string, string>();
  for (const { name, adapters } of config.models.values()) {
    for (const adapter of Object.keys(adapters)) parents.set(adapter, name);
  }
  /** `target`: a model or an adapter. */
  const card = (id: string, target: string): ModelCard => {
    const parent = parents.get(target) ?? null;
    const model = parent ?? target;
    const known = state.models.get(model);
    const configured = config.models.get(model)?.vllm.maxModelLen ?? 0;
    return {
      id,
      createdS: startedS,
      ownedBy: 'vllm-gateway',
      parent,
      state: known?.engine.kind ?? 'unknown',
      contextLength: known?.contextLength ?? (configured > 0 ? configured : null),
    };
  };
  const exact = config.aliases.filter(({ pattern }) => !/[*?]/.test(pattern));
  return [
    ...[...config.models.keys()].map((name) => card(name, name)),
    ...[...parents.keys()].map((name) => card(name, name)),
    ...exact.map(({ pattern, model }) => card(pattern, model)),
  ];
}

export function modelGauges(state: SchedulerState): ModelGauges[] {
  return [...state.models.values()].map((model) => {
    const reservation = reservationOf(model.engine);
    return {
      model: model.policy.name,
      state: model.engine.kind,
      waiting: model.queue.size,
      running: model.running.size,
      reservedMib: reservation === null ? 0 : reservation.memoryMibPerDevice * reservation.deviceIds.length,
    };
  });
}
