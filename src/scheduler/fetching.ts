/**
 * Bringing a model's files into the cache before any device is taken for it. A fetch evicts nobody and holds nothing, so it
 * takes part in no contest; when it has ended the model contends like any other.
 */
import { assert } from '../core/assert.ts';
import { setEngine } from './engine-index.ts';
import { COLD } from './engine-state.ts';
import type { EngineFailure, SchedulerEvent } from './events.ts';
import { afterFailedFetch, refuseStart } from './failures.ts';
import { whoWaits } from './moves.ts';
import { neverFits } from './refusals.ts';
import { refuseQueue, wish } from './requests.ts';
import type { Decision, ModelState } from './state.ts';
import { withdraw } from './withdrawal.ts';

const MIB = 1024 * 1024;

export function beginFetch(d: Decision, model: ModelState): void {
  const { fetchTimeoutMs, name } = model.policy;
  const { kind } = model.engine;
  assert(fetchTimeoutMs !== null, `${name} has nothing to fetch`);
  assert(kind === 'cold' || kind === 'failed', `${name} is ${kind} and needs no fetch`);
  setEngine(d.state, model, {
    kind: 'fetching',
    sinceMs: d.nowMs,
    deadlineMs: d.nowMs + fetchTimeoutMs,
    bytesDone: 0,
    bytesTotal: null,
  });
  withdraw(d, model);
  d.touched.add(model);
  d.effects.push({ kind: 'fetch', model: name, reason: `${whoWaits(model)}, and its files come first` });
}

export function fetchProgressed(d: Decision, event: Extract<SchedulerEvent, { kind: 'fetching' }>): void {
  const engine = d.state.models.get(event.model)?.engine;
  if (engine?.kind !== 'fetching') return;
  // Never back: a file that is begun anew counts when it is as far again.
  engine.bytesDone = Math.max(engine.bytesDone, event.bytesDone);
  engine.bytesTotal = event.bytesTotal ?? engine.bytesTotal;
}

export function fetchAnswered(d: Decision, name: string, failure: EngineFailure | null): void {
  const model = d.state.models.get(name);
  if (model?.engine.kind !== 'fetching') return;
  d.touched.add(model);
  if (failure === null) {
    model.fetched = true;
    model.failedFetches = 0;
    setEngine(d.state, model, COLD);
  } else {
    const next = afterFailedFetch(d, model, failure);
    setEngine(d.state, model, next);
    refuseStart(d, model, failure, next, 'its files could not be fetched');
  }
  wish(d, model);
}

export function fetchDeadlinePassed(d: Decision, model: ModelState): void {
  const { engine } = model;
  if (engine.kind !== 'fetching') return;
  const limitS = (model.policy.fetchTimeoutMs ?? 0) / 1000;
  d.effects.push({ kind: 'cancel_fetch', model: model.policy.name, reason: `its limit of ${limitS} s` });
  const text = `its files were not fetched within ${limitS} s (download_timeout): ${mib(engine.bytesDone)} of ${
    engine.bytesTotal === null ? 'an unknown number of' : mib(engine.bytesTotal)
  } MiB are there; the next request goes on with the rest`;
  fetchAnswered(d, model.policy.name, { cause: 'timeout', text, retryable: true });
}

/** Ends a fetch that is not wanted any more. What is there by then stays; who still waits begins it anew. */
export function cancelFetch(d: Decision, model: ModelState, reason: string): void {
  if (model.engine.kind !== 'fetching') return;
  d.effects.push({ kind: 'cancel_fetch', model: model.policy.name, reason });
  setEngine(d.state, model, COLD);
  d.touched.add(model);
  wish(d, model);
}

/** Files of a model that no device can hold, as has been found out meanwhile, are of no use. */
export function dropUselessFetches(d: Decision): void {
  for (const model of d.state.models.values()) {
    if (model.engine.kind !== 'fetching' || model.neverFits === null) continue;
    model.wanted = false;
    refuseQueue(d, model, neverFits(model, model.neverFits), 'it can never fit');
    cancelFetch(d, model, 'no device can hold it');
  }
}

function mib(bytes: number): number {
  return Math.round(bytes / MIB);
}
