/**
 * Runs the production control loop, with the launches, sizer and scheduler that production has, on a virtual clock against
 * a simulated machine. One set of options gives one run.
 */
import { ControlLoop } from '../control/control-loop.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { PATIENT_CLIENT } from './machine/client-request.ts';
import { GatewayConnection } from './machine/gateway-connection.ts';
import { simulationConfig, worldDevices } from './machine/machine-config.ts';
import { worldFates } from './machine/move-fate.ts';
import { SimulatedClients } from './machine/simulated-clients.ts';
import { SimulatedMachine } from './machine/simulated-machine.ts';
import { MeasuredScheduler } from './measured-scheduler.ts';
import type { SimulationEnd, SimulationOptions } from './simulation.ts';
import { assignCosts } from './world.ts';

/** When no request has come, gone to its engine or ended for so long, none will. */
const STANDSTILL_MS = 30 * 24 * 3_600_000;

/** Ends when every request has ended, or nothing goes on any more, which is a violation. */
export async function runSimulation(options: SimulationOptions): Promise<SimulationEnd> {
  const { world, source, seed, timeScale, patienceMs, observers } = options;
  const clock = new VirtualClock();
  const costs = assignCosts(world, source.models);
  const config = await simulationConfig(world, costs);
  const violated = (text: string): void => {
    for (const observer of observers) observer.violated?.(text, clock.nowMs());
  };
  const machine = new SimulatedMachine({
    world,
    costs,
    clock,
    fateOf: worldFates(seed),
    moved: (move) => {
      for (const observer of observers) observer.moved?.(move);
    },
    violated,
  });
  const connection = new GatewayConnection({
    machine,
    config,
    costs,
    wallOffsetMs: () => 0,
    reading: (truth) => truth,
    log: () => {},
  });
  const scheduler = new MeasuredScheduler(options.scheduler, observers);
  const control = new ControlLoop(connection.ports(), {
    config,
    learned: {},
    launchPrefix: 'simulated',
    version: 'simulated',
    scheduler,
  });
  await control.adopt(worldDevices(world), new AbortController().signal);
  control.memoryRead([], machine.books.host());
  const habit = { ...PATIENT_CLIENT, patienceMs };
  const stream = source.open();
  const clients = new SimulatedClients({
    machine,
    stream,
    timeScale,
    habitOf: () => habit,
    watch: {
      arrived: (times) => {
        for (const observer of observers) observer.arrived?.(times);
      },
      dispatched: (times) => {
        for (const observer of observers) observer.dispatched?.(times, clock.nowMs());
      },
      ended: (times, end) => {
        for (const observer of observers) observer.ended?.(times, end, clock.nowMs());
      },
      violated,
    },
  });
  clients.useGate(control);
  try {
    clients.begin();
    await settleTouched(machine);
    while (!clients.areDone && (await step(machine, clients)));
    if (!clients.areDone)
      violated(`nothing goes on any more, and ${clients.open.size} requests have not ended`);
  } finally {
    control.close();
    connection.cut();
    stream.close();
  }
  return { endMs: clients.endMs, decisions: scheduler.decisions, decisionNs: scheduler.decisionNs };
}

/** False: nothing will happen any more. */
async function step(machine: SimulatedMachine, clients: SimulatedClients): Promise<boolean> {
  const { clock } = machine;
  // Most steps touch no promise, and awaiting them would cost more than they do.
  while (!machine.isTouched) {
    if (clients.areDone) return true;
    if (!clock.step(clients.lastChangeMs + STANDSTILL_MS)) return false;
  }
  await settleTouched(machine);
  return true;
}

/** Lets everything run that hangs on promises: none of them waits for anything but the clock. */
async function settleTouched(machine: SimulatedMachine): Promise<void> {
  if (!machine.isTouched) return;
  await new Promise<void>((resolve) => setImmediate(resolve));
  machine.isTouched = false;
}
