/**
 * A gate that keeps the protocol of src/control/gate.ts: slots per model, a FIFO, exactly-once ends. Models are always
 * awake; a test changes endpoints, slots and refusals while it runs. Broken protocol throws.
 */
import type {
  Admission,
  FrontGate,
  GiveBackCause,
  Lease,
  LoadKind,
  Outcome,
  WaitEstimate,
  Waiter,
} from '../../src/control/gate.ts';
import { assert } from '../../src/core/assert.ts';
import type { Refusal } from '../../src/core/errors.ts';
import type { LaunchId, RequestId } from '../../src/core/ids.ts';
import { RESENDS_MAX } from '../../src/core/limits.ts';
import type { Endpoint } from '../../src/proxy/endpoint-types.ts';

export interface FakeModel {
  endpoint: Endpoint;
  launchId: LaunchId | null;
  slots: number;
  queueSize: number;
  /** While true nothing is granted. */
  held: boolean;
  load: LoadKind;
}

export interface GateEvent {
  readonly kind: 'admit' | 'grant' | 'hand_over' | 'leave' | 'finish' | 'give_back' | 'refuse';
  readonly id: RequestId;
  readonly detail: string;
}

interface Entry {
  readonly id: RequestId;
  readonly admission: Admission;
  waiter: Waiter;
  readonly admittedMs: number;
  resends: number;
}

export class FakeGate implements FrontGate {
  readonly models = new Map<string, FakeModel>();
  readonly events: GateEvent[] = [];
  /** Off in benchmarks. */
  recording = true;
  /** What `estimate` says of every model. */
  waitEstimate: WaitEstimate = {
    readyInMs: 20_000,
    why: 'it is starting (loading weights), 20 s to go',
    basis: 'measured',
    phase: 'starting',
    percent: null,
  };
  readonly #waiting = new Map<string, Entry[]>();
  readonly #running = new Map<RequestId, Entry>();
  readonly #listeners = new Set<() => void>();
  #nextId = 1;

  add(name: string, endpoint: Endpoint, slots = 8, queueSize = 1000): FakeModel {
    const model: FakeModel = { endpoint, launchId: `${name}-1`, slots, queueSize, held: false, load: 'hot' };
    this.models.set(name, model);
    this.#waiting.set(name, []);
    return model;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  get waitingCount(): number {
    let count = 0;
    for (const queue of this.#waiting.values()) count += queue.length;
    return count;
  }

  admit(admission: Admission, waiter: Waiter): RequestId {
    const id = this.#nextId++;
    const model = this.#model(admission.model);
    const queue = this.#queue(admission.model);
    this.#record('admit', id, admission.model);
    const entry: Entry = { id, admission, waiter, admittedMs: performance.now(), resends: 0 };
    const running = this.#runningOf(admission.model);
    if (running + queue.length >= model.slots + model.queueSize) {
      const parameters = { model: admission.model, depth: queue.length, limit: model.queueSize };
      this.#refuse(entry, { code: 'queue_full', parameters, retryAfterS: 3 });
      return id;
    }
    queue.push(entry);
    this.pump(admission.model);
    return id;
  }

  leave(id: RequestId): void {
    for (const queue of this.#waiting.values()) {
      const at = queue.findIndex((entry) => entry.id === id);
      if (at < 0) continue;
      queue.splice(at, 1);
      this.#record('leave', id, '');
    }
  }

  finish(id: RequestId, outcome: Outcome): void {
    const entry = this.#running.get(id);
    assert(entry !== undefined, `finish of request ${id}, which does not run`);
    this.#running.delete(id);
    this.#record('finish', id, outcome);
    this.pump(entry.admission.model);
  }

  handOver(id: RequestId, waiter: Waiter): void {
    const entry = this.#running.get(id);
    if (entry === undefined) return;
    entry.waiter = waiter;
    this.#record('hand_over', id, entry.admission.model);
  }

  requestRefused(): void {}

  estimate(): WaitEstimate {
    return this.waitEstimate;
  }

  giveBack(id: RequestId, cause: GiveBackCause, detail: string): void {
    const entry = this.#running.get(id);
    assert(entry !== undefined, `giveBack of request ${id}, which does not run`);
    this.#running.delete(id);
    this.#record('give_back', id, `${cause}: ${detail}`);
    const { model } = entry.admission;
    if (cause === 'connection_lost' && ++entry.resends > RESENDS_MAX) {
      this.#refuse(entry, { code: 'engine_died', parameters: { model, cause: detail } });
      return;
    }
    this.#queue(model).unshift(entry);
    this.pump(model);
  }

  /** Grants what can be granted; call it after changing a model. */
  pump(name: string): void {
    const model = this.#model(name);
    const queue = this.#queue(name);
    while (!model.held && this.#runningOf(name) < model.slots) {
      const entry = queue.shift();
      if (entry === undefined) return;
      this.#running.set(entry.id, entry);
      this.#record('grant', entry.id, name);
      const lease: Lease = {
        requestId: entry.id,
        model: name,
        launchId: model.launchId,
        endpoint: model.endpoint,
        waitedMs: performance.now() - entry.admittedMs,
        load: model.load,
        queueDepth: queue.length,
      };
      entry.waiter.granted(lease);
    }
  }

  /** Refuses everything that waits for a model. */
  refuseWaiting(name: string, refusal: Refusal): void {
    for (const entry of this.#queue(name).splice(0)) this.#refuse(entry, refusal);
  }

  /** Cuts everything that runs on a model. */
  cutRunning(name: string, refusal: Refusal): void {
    for (const entry of [...this.#running.values()]) {
      if (entry.admission.model === name) entry.waiter.cut(refusal);
    }
  }

  /** Resolves when `condition` holds; looked at after each event. */
  until(condition: (gate: FakeGate) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition(this)) return;
        this.#listeners.delete(look);
        resolve();
      };
      this.#listeners.add(look);
      look();
    });
  }

  details(kind: GateEvent['kind']): string[] {
    return this.events.filter((event) => event.kind === kind).map((event) => event.detail);
  }

  #refuse(entry: Entry, refusal: Refusal): void {
    this.#record('refuse', entry.id, refusal.code);
    entry.waiter.refused(refusal);
  }

  #runningOf(name: string): number {
    let count = 0;
    for (const entry of this.#running.values()) if (entry.admission.model === name) count += 1;
    return count;
  }

  #record(kind: GateEvent['kind'], id: RequestId, detail: string): void {
    if (!this.recording) return;
    this.events.push({ kind, id, detail });
    for (const listener of [...this.#listeners]) queueMicrotask(listener);
  }

  #model(name: string): FakeModel {
    const model = this.models.get(name);
    assert(model !== undefined, `no model ${name}`);
    return model;
  }

  #queue(name: string): Entry[] {
    const queue = this.#waiting.get(name);
    assert(queue !== undefined, `no model ${name}`);
    return queue;
  }
}
