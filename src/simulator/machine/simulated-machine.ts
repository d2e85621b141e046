/** The machine: its engines, what they hold and what moves; and the ports through which one gateway after the other uses it. */

import { assert } from '../../core/assert.ts';
import type { LaunchId } from '../../core/ids.ts';
import type { VirtualClock } from '../../core/virtual-clock.ts';
import type { ListenAddress } from '../../engines/engine.ts';
import type { EngineHandle, LaunchObserver, LaunchSpec } from '../../runtimes/runtime.ts';
import type { MachineMove } from '../simulation-observer.ts';
import type { ModelCosts, World } from '../world.ts';
import { DeviceMoves } from './device-moves.ts';
import { type LaunchMachine, MachineLaunch } from './machine-launch.ts';
import { type BookRules, MemoryBooks } from './memory-books.ts';
import type { FateOf } from './move-fate.ts';

export interface MachineOptions extends BookRules {
  readonly world: World;
  /** Of each model, in the order of their names. */
  readonly costs: ReadonlyMap<string, ModelCosts>;
  readonly clock: VirtualClock;
  readonly fateOf: FateOf;
  readonly moved: (move: MachineMove) => void;
  readonly violated: (text: string) => void;
}

interface MachineModel {
  readonly costs: ModelCosts;
  readonly index: number;
  starts: number;
}

const SOCKETS = '/simulated/';

export class SimulatedMachine {
  readonly clock: VirtualClock;
  readonly books: MemoryBooks;
  /** Something happened that promises of the gateway may hang on. */
  isTouched = false;
  /** Timers that have fired at the present time. */
  stepsAtOnce = 0;
  readonly #launches = new Map<LaunchId, MachineLaunch>();
  readonly #models: ReadonlyMap<string, MachineModel>;
  readonly #ports: LaunchMachine;

  constructor(options: MachineOptions) {
    const { world, costs, clock, fateOf, moved, violated } = options;
    this.clock = clock;
    this.books = new MemoryBooks(world, options, violated);
    const models = [...costs].map(([name, of], index) => [name, { costs: of, index, starts: 0 }] as const);
    this.#models = new Map(models);
    this.#ports = {
      books: this.books,
      moves: new DeviceMoves(clock, { moved, violated }),
      violated,
      touched: () => this.touch(),
      later: (ms, run) => clock.setTimer(clock.nowMs() + ms, run),
      gone: ({ spec }) => this.#launches.delete(spec.launchId),
      fateOf: (kind, { spec, costs: of }) => {
        const model = this.#model(spec.model);
        const startNumber = kind === 'start' ? model.starts : 0;
        if (kind === 'start') model.starts += 1;
        const { model: name, deviceIds } = spec;
        return fateOf({ kind, model: name, deviceIds, costs: of, modelIndex: model.index, startNumber });
      },
    };
  }

  touch(): void {
    this.isTouched = true;
  }

  /** All that run, whoever launched them. */
  get launches(): Iterable<MachineLaunch> {
    return this.#launches.values();
  }

  get launchIds(): Iterable<LaunchId> {
    return this.#launches.keys();
  }

  launch(spec: LaunchSpec, observer: LaunchObserver, wallMs: number): EngineHandle {
    const { launchId, model, listen } = spec;
    assert(!this.#launches.has(launchId), `${launchId} was launched twice`);
    const handle: EngineHandle = {
      launchId,
      model,
      listen,
      authorization: null,
      reference: `simulated ${launchId}`,
      outputFile: null,
      startedWallMs: wallMs,
    };
    const launch = new MachineLaunch(this.#ports, spec, handle, this.#model(model).costs, observer);
    this.#launches.set(launchId, launch);
    return handle;
  }

  /** Null: it is gone. */
  launchOf(launchId: LaunchId): MachineLaunch | null {
    return this.#launches.get(launchId) ?? null;
  }

  /** Who listens there; null: nobody. */
  launchAt(address: ListenAddress): MachineLaunch | null {
    return address.kind === 'unix' ? this.launchOf(address.socketPath.slice(SOCKETS.length)) : null;
  }

  addressOf(launchId: LaunchId): ListenAddress {
    return { kind: 'unix', socketPath: `${SOCKETS}${launchId}` };
  }

  #model(name: string): MachineModel {
    const model = this.#models.get(name);
    assert(model !== undefined, `the machine knows no model ${name}`);
    return model;
  }
}
