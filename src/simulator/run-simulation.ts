/**
 * Runs the production control loop, with the launches, sizer and scheduler that production has, on a virtual clock against
 * a simulated machine. One set of options gives one run. Every checker watches.
 */
import { ControlLoop } from '../control/control-loop.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import type { Checker } from './checkers/checker.ts';
import { everyChecker } from './checkers/every-checker.ts';
import { SwappingChecker } from './checkers/swapping-checker.ts';
import { WaitingChecker } from './checkers/waiting-checker.ts';
import { PATIENT_CLIENT } from './machine/client-request.ts';
import { GatewayConnection, TRUTHFUL } from './machine/gateway-connection.ts';
import { simulationConfig, worldDevices } from './machine/machine-config.ts';
import { settleMachine, stepMachine } from './machine/machine-steps.ts';
import { worldFates } from './machine/move-fate.ts';
import { SimulatedClients } from './machine/simulated-clients.ts';
import { SimulatedMachine } from './machine/simulated-machine.ts';
import { MeasuredScheduler } from './measured-scheduler.ts';
import { ObserverFan } from './observer-fan.ts';
import type { SimulationEnd, SimulationOptions } from './simulation.ts';
import { assignCosts } from './world.ts';

/** When requests are there and none has come, gone to its engine or ended for so long, none will. */
const STANDSTILL_MS = 24 * 3_600_000;

/** Ends when every request has ended, or nothing goes on any more, which is a violation. Rejects with what the scheduler throws. */
export async function runSimulation(options: SimulationOptions): Promise<SimulationEnd> {
  const { world, source, seed, timeScale, patienceMs } = options;
  const clock = new VirtualClock();
  const costs = assignCosts(world, source.models);
  const config = await simulationConfig(world, costs);
  const fan = new ObserverFan(clock, options.observers);
  const { moved, violated } = fan;
  const machine = new SimulatedMachine({
    world,
    costs,
    clock,
    fateOf: worldFates(seed),
    checksBudget: true,
    moved,
    violated,
  });
  const checkers: readonly Checker[] = [
    ...everyChecker({ report: violated, living: () => machine.launchIds, isVoid: () => false }),
    new SwappingChecker(violated),
    new WaitingChecker({ report: violated }),
  ];
  fan.add(checkers);
  const connection = new GatewayConnection({ machine, config, costs, ...TRUTHFUL });
  const scheduler = new MeasuredScheduler(options.scheduler, fan.observers);
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
  const clients = new SimulatedClients({ machine, stream, timeScale, habitOf: () => habit, watch: fan });
  clients.useGate(control);
  const untilMs = (): number =>
    clients.open.size === 0 ? Number.POSITIVE_INFINITY : clients.lastChangeMs + STANDSTILL_MS;
  const isOver = (): boolean => clients.areDone || scheduler.failure !== null;
  try {
    clients.begin();
    await settleMachine(machine);
    while (await stepMachine(machine, isOver, untilMs));
    if (scheduler.failure !== null) throw scheduler.failure.error;
    if (!clients.areDone)
      violated(`nothing goes on any more, and ${clients.open.size} requests have not ended`);
    for (const checker of checkers) checker.finish?.();
  } finally {
    control.close();
    connection.cut();
    stream.close();
  }
  return { endMs: clients.endMs, decisions: scheduler.decisions, decisionNs: scheduler.decisionNs };
}
