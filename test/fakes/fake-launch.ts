/** A runtime, an engine and its HTTP whose every answer a test decides, for driving one launch on a virtual clock. */
import type { ResolvedModel } from '../../src/config/resolved-config.ts';
import type { LaunchPorts } from '../../src/control/launch-ports.ts';
import { VirtualClock } from '../../src/core/virtual-clock.ts';
import type { ExitStatus, ProbeResult } from '../../src/engines/engine.ts';
import { modelFixture } from '../../src/engines/engine-fixtures.ts';
import { createEndpoint } from '../../src/proxy/endpoint.ts';
import type { EngineHandle, LaunchObserver, LaunchResult, StopResult } from '../../src/runtimes/runtime.ts';
import type { SchedulerEvent } from '../../src/scheduler/events.ts';
import { memoryReading } from './memory-reading.ts';

const CAPABILITIES = {
  unixSockets: true,
  survivesUs: true,
  sharesHost: true,
  isPrivate: true,
  exposure: '',
};

export class FakeLaunchWorld {
  readonly clock = new VirtualClock();
  readonly events: SchedulerEvent[] = [];
  readonly model: ResolvedModel = modelFixture({ name: 'a' });
  readonly ports: LaunchPorts;
  probes: ProbeResult = { kind: 'not_ready', detail: 'refused' };
  probeCount = 0;
  launchResult: 'launched' | Extract<LaunchResult, { kind: 'failed' }> = 'launched';
  stopResult: StopResult = { kind: 'gone', tookMs: 1, forced: false };
  stops: number[] = [];
  readonly notes: string[] = [];
  /** Of the device `g`. */
  usedMib = 9_000;
  #observer: LaunchObserver | null = null;

  constructor() {
    this.ports = {
      clock: this.clock,
      runtime: {
        kind: 'fake',
        capabilities: CAPABILITIES,
        address: async () => ({ kind: 'unix', socketPath: '/nowhere/engine.sock' }),
        releaseAddress: () => {},
        prepare: async () => ({ kind: 'ready' }),
        launch: async (spec, observer) => {
          this.#observer = observer;
          if (this.launchResult !== 'launched') return this.launchResult;
          return { kind: 'launched', handle: handleOf(spec.launchId) };
        },
        note: async (_handle, stage) => {
          this.notes.push(stage.kind);
        },
        stop: async (_handle, graceMs) => {
          this.stops.push(graceMs);
          return this.stopResult;
        },
        kill: async () => this.stopResult,
        adopt: async () => [],
        ownerOf: () => null,
        processes: async () => new Map(),
        close: async () => {},
      },
      engine: {
        kind: 'fake',
        capabilities: {
          unixSocket: true,
          sleepLevels: [],
          sleepsOn: [],
          routesAsleep: [],
          keepAliveMs: 5_000,
          assumedStartMs: 1_000,
          contextMib: 0,
          hostMib: 0,
        },
        listensOn: () => 'unix',
        command: () => ({ argv: ['engine'], environment: {}, files: [] }),
        probe: async () => {
          this.probeCount += 1;
          return this.probes;
        },
        parseLine: (line) =>
          line.startsWith('phase ')
            ? { phase: 'loading', percent: Number(line.slice(6)) }
            : servingLine(line),
        parseMemory: () => null,
        sleep: async () => ({ kind: 'done' }),
        wake: async () => ({ kind: 'done' }),
        version: () => null,
        isAsleep: async () => false,
        warmUp: async () => ({ kind: 'done' }),
        remedyOf: () => null,
        diagnose: (exit, lines) => ({
          cause: 'unknown',
          text: `ended with ${exit.code}`,
          lastLine: lines.at(-1) ?? '',
          retryable: true,
        }),
      },
      openHttp: () => ({
        request: () => Promise.reject(new Error('the fake engine is probed without HTTP')),
      }),
      openEndpoint: (_model, options) => createEndpoint(options),
      deviceEnvironment: {},
      readMemory: async () => [memoryReading('g', this.usedMib)],
      readHost: async () => null,
      memoryReported: () => {},
      mend: () => null,
      connectTimeoutMs: 1_000,
      send: (event) => this.events.push(event),
      log: () => {},
    };
  }

  line(text: string): void {
    this.#observer?.line(text);
  }

  exit(exit: ExitStatus): void {
    this.#observer?.exited(exit);
  }

  /** Lets promises that are settled run, and then the clock by so much, again and again up to the time. */
  async run(untilMs: number): Promise<void> {
    await settle();
    while (this.clock.step(untilMs)) await settle();
    this.clock.advanceTo(untilMs);
  }
}

function servingLine(line: string): { phase: 'serving'; percent: null } | null {
  return line === 'serving' ? { phase: 'serving', percent: null } : null;
}

function handleOf(launchId: string): EngineHandle {
  return {
    launchId,
    model: 'a',
    listen: { kind: 'unix', socketPath: '/nowhere/engine.sock' },
    authorization: null,
    reference: 'pid 0',
    outputFile: '/nowhere/engine.log',
    startedWallMs: 0,
  };
}

/** Every promise chain of a launch is shorter than this. */
const MICROTASK_TURNS = 50;

export async function settle(): Promise<void> {
  for (let turn = 0; turn < MICROTASK_TURNS; turn += 1) await Promise.resolve();
}
