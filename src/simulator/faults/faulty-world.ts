/** What is wrong with the world at present, beside what goes wrong with single engines. */
import type { DeviceId } from '../../core/ids.ts';
import type { Prng } from '../../core/prng.ts';
import type { Device, MemoryReading } from '../../devices/device.ts';
import type { FateOf, MoveFate } from '../machine/move-fate.ts';
import type { SimulatedMachine } from '../machine/simulated-machine.ts';
import type { MoveKind } from '../simulation-observer.ts';
import type { Fault } from './fault.ts';

type MoveFault = Extract<Fault, { readonly kind: 'move_goes_wrong' }>;

/** A start on a device that is gone, or where others have left too little, dies so soon. */
const EARLY_DEATH_MS = 500;
const WHOLE = 1;

export class FaultyWorld {
  wallOffsetMs = 0;
  memoryFactor = WHOLE;
  readingsFail = false;
  latencyMaxMs = 0;
  readonly lost = new Set<DeviceId>();
  readonly #moveFaults = new Map<MoveKind, MoveFault[]>();
  readonly #prng: Prng;
  readonly #devices: readonly Device[];
  readonly #applied: (fault: Fault) => void;

  constructor(prng: Prng, devices: readonly Device[], applied: (fault: Fault) => void) {
    this.#prng = prng;
    this.#devices = devices;
    this.#applied = applied;
  }

  get devices(): readonly Device[] {
    return this.#devices.filter(({ id }) => !this.lost.has(id));
  }

  addMoveFault(fault: MoveFault): void {
    const { move } = fault;
    this.#moveFaults.set(move, [...(this.#moveFaults.get(move) ?? []), fault]);
  }

  /** From now on the world is as it should be; what was broken before is so still. */
  mend(): void {
    this.memoryFactor = WHOLE;
    this.readingsFail = false;
    this.lost.clear();
    this.#moveFaults.clear();
  }

  /** Fates of moves: the world's, unless a fault waits for such a move, or there is no place for it. */
  fates(machine: () => SimulatedMachine, usual: FateOf): FateOf {
    return (move) => {
      const fate = usual(move);
      const comes = move.kind === 'start' || move.kind === 'wake';
      const hasPlace = move.deviceIds.every((id) => !this.lost.has(id) && machine().books.freeMib(id) >= 0);
      if (comes && !hasPlace) return { durationMs: EARLY_DEATH_MS, end: 'dies' };
      const fault = this.#moveFaults.get(move.kind)?.shift();
      return fault === undefined ? fate : this.#faulted(fate, fault);
    };
  }

  #faulted({ durationMs }: MoveFate, fault: MoveFault): MoveFate {
    this.#applied(fault);
    return { durationMs: durationMs * fault.slowness, end: fault.end };
  }

  readonly latencyMs = (): number =>
    this.latencyMaxMs === 0 ? 0 : this.#prng.integer(2) * this.#prng.next() * this.latencyMaxMs;

  readonly reading = (truth: readonly MemoryReading[]): readonly MemoryReading[] | null => {
    if (this.readingsFail) return null;
    const there = truth.filter(({ id }) => !this.lost.has(id));
    return this.memoryFactor === WHOLE ? there : there.map((reading) => this.#distorted(reading));
  };

  #distorted(reading: MemoryReading): MemoryReading {
    const factor = this.memoryFactor;
    const of = (mib: number | null): number | null => (mib === null ? null : Math.round(factor * mib));
    const launches = [...reading.launches].map(
      ([id, use]) => [id, { ...use, usedMib: of(use.usedMib) ?? 0 }] as const,
    );
    return { ...reading, usedMib: of(reading.usedMib), launches: new Map(launches) };
  }
}
