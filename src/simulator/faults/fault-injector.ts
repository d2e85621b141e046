/** Carries out faults on a running simulation, where there is something for them to happen to. */
import { assertNever } from '../../core/assert.ts';
import type { Clock } from '../../core/clock.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { ModelPolicy } from '../../scheduler/model-policy.ts';
import { type ClientHabit, PATIENT_CLIENT } from '../machine/client-request.ts';
import type { MachineLaunch } from '../machine/machine-launch.ts';
import type { SimulatedClients } from '../machine/simulated-clients.ts';
import type { SimulatedMachine } from '../machine/simulated-machine.ts';
import type { Fault } from './fault.ts';
import type { FaultyGateway } from './faulty-gateway.ts';
import type { FaultyWorld } from './faulty-world.ts';

/** What one poisonous client sends, again and again. */
const POISON = new TextEncoder().encode('{"prompt":"poison"}');
const LEAVE_ENGINES_MS = 1;

export interface InjectorOptions {
  readonly clock: Clock;
  readonly machine: SimulatedMachine;
  readonly world: FaultyWorld;
  readonly clients: SimulatedClients;
  /** Null: there is none at present. */
  readonly gateway: () => FaultyGateway | null;
  /** Kills it, and starts another one after this time. */
  readonly replaceGateway: (downMs: number) => void;
  readonly applied: (fault: Fault) => void;
}

export class FaultInjector {
  readonly #options: InjectorOptions;
  #habit: Partial<ClientHabit> | null = null;

  constructor(options: InjectorOptions) {
    this.#options = options;
  }

  /** False: there is nothing that it could happen to. One of a move is told as applied when the move comes. */
  inject(fault: Fault): boolean {
    if (!this.#happens(fault)) return false;
    if (fault.kind !== 'move_goes_wrong') this.#options.applied(fault);
    return true;
  }

  /** Of the next client. */
  takeHabit(): ClientHabit {
    const habit = { ...PATIENT_CLIENT, ...this.#habit };
    this.#habit = null;
    return habit;
  }

  /** Nothing goes wrong any more. */
  end(): void {
    const { world, machine } = this.#options;
    world.mend();
    for (const { id } of world.devices) machine.books.setForeign(id, 0);
    this.#habit = null;
    const gateway = this.#options.gateway();
    gateway?.devicesChanged();
    // One that still looks for engines was started with the configuration as it is.
    if (gateway?.isAdopting === false) this.#configure(gateway, (policy) => policy);
  }

  #happens(fault: Fault): boolean {
    const { world, machine, clients } = this.#options;
    const { books } = machine;
    const gateway = this.#options.gateway();
    switch (fault.kind) {
      case 'engine_dies':
        return this.#onEngine(fault.share, (launch) => launch.exit(fault.exit, fault.noticedMs));
      case 'engine_hangs':
        return this.#onEngine(fault.share, (launch) => launch.hang());
      case 'move_goes_wrong':
        world.addMoveFault(fault);
        return true;
      case 'foreign_memory': {
        const device = pick(world.devices, fault.share);
        if (device === null) return false;
        books.setForeign(device.id, Math.round(fault.part * device.totalMib));
        this.#later(fault.forMs, () => books.setForeign(device.id, 0));
        return true;
      }
      case 'wrong_memory':
        world.memoryFactor = fault.factor;
        this.#later(fault.forMs, () => {
          world.memoryFactor = 1;
        });
        return true;
      case 'readings_fail':
        world.readingsFail = true;
        this.#later(fault.forMs, () => {
          world.readingsFail = false;
        });
        return true;
      case 'device_lost':
        return this.#loseDevice(fault);
      case 'clients_leave': {
        const leaving = [...clients.open].slice(0, Math.ceil(fault.part * clients.open.size));
        for (const client of leaving) client.leave();
        return leaving.length > 0;
      }
      case 'slow_client':
        this.#habit = { ...this.#habit, slowness: fault.slowness };
        return true;
      case 'hasty_client':
        this.#habit = { ...this.#habit, leavesAfterMs: fault.afterMs };
        return true;
      case 'poison':
        this.#habit = { ...this.#habit, poisonMs: fault.afterMs, body: POISON };
        return true;
      case 'operator': {
        const policy = pick(gateway?.policies ?? [], fault.share);
        if (gateway === null || policy === null) return false;
        machine.touch();
        gateway.control.command({ kind: fault.command, model: policy.name });
        return true;
      }
      case 'configuration': {
        if (gateway === null || gateway.isAdopting) return false;
        const changed = pick(gateway.policies, fault.share);
        this.#configure(gateway, (policy) => (policy === changed ? changedPolicy(policy, fault) : policy));
        return true;
      }
      case 'gateway_killed':
        if (gateway === null) return false;
        this.#options.replaceGateway(fault.downMs);
        return true;
      case 'gateway_replaced':
        if (gateway === null) return false;
        machine.touch();
        gateway.control.shutdown('stop', true);
        this.#later(LEAVE_ENGINES_MS, () => {
          if (this.#options.gateway() === gateway) this.#options.replaceGateway(fault.downMs);
        });
        return true;
      case 'clock_jumps':
        world.wallOffsetMs += fault.byMs;
        return true;
      default:
        return assertNever(fault, 'fault');
    }
  }

  #later(ms: number, run: () => void): void {
    const { clock } = this.#options;
    clock.setTimer(clock.nowMs() + ms, run);
  }

  #onEngine(share: number, happens: (launch: MachineLaunch) => void): boolean {
    const launch = pick([...this.#options.machine.launches], share);
    if (launch === null) return false;
    happens(launch);
    return true;
  }

  #loseDevice({ share, forMs }: Extract<Fault, { readonly kind: 'device_lost' }>): boolean {
    const { world, machine, gateway } = this.#options;
    const device = pick(world.devices, share);
    if (device === null) return false;
    world.lost.add(device.id);
    for (const launch of [...machine.launches])
      if (launch.spec.deviceIds.includes(device.id)) launch.exit({ code: 1, signal: null });
    gateway()?.devicesChanged();
    this.#later(forMs, () => {
      if (!world.lost.delete(device.id)) return;
      gateway()?.devicesChanged();
    });
    return true;
  }

  #configure(gateway: FaultyGateway, change: (policy: ModelPolicy) => ModelPolicy | null): void {
    const { state, policies, needs } = gateway;
    const models = policies.flatMap((policy) => {
      const changed = change(policy);
      return changed === null ? [] : [{ ...changed, need: needs.get(policy.name) ?? null }];
    });
    const event: SchedulerEvent = {
      kind: 'configuration_changed',
      models,
      devices: [...state.devices.values()],
      scheduling: state.scheduling,
    };
    gateway.inject(event);
  }
}

function changedPolicy(
  policy: ModelPolicy,
  { change }: Extract<Fault, { readonly kind: 'configuration' }>,
): ModelPolicy | null {
  switch (change) {
    case 'removed':
      return null;
    case 'other_signature':
      return { ...policy, signature: `${policy.signature}-2` };
    case 'fewer_slots':
      return { ...policy, maxConcurrent: 1 };
    case 'always_on':
      return { ...policy, alwaysOn: true };
    case 'short_queue':
      return { ...policy, queueSize: 2 };
    case 'as_before':
      return policy;
  }
}

/** Null: there is none. */
function pick<T>(among: readonly T[], share: number): T | null {
  return among[Math.floor(share * among.length)] ?? null;
}

/** For a report: what it was, and its figures. */
export function faultText({ kind, ...rest }: Fault): string {
  return `${kind} ${JSON.stringify(rest)}`;
}
