/** What the conformance suite works with: sites, what runtimes may differ in, and programs that behave as engines do. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { LaunchId } from '../core/ids.ts';
import type { RecordingObserver } from './recording-observer.ts';
import { createRecordingObserver } from './recording-observer.ts';
import type { EngineHandle, LaunchSpec, Runtime } from './runtime.ts';

/** A place where launches are kept, and gateways that come and go over it. */
export interface RuntimeSite {
  /** The next gateway; the one before must be closed or crashed. */
  open(): Promise<Runtime>;
  /** A gateway of its own process launches this, hears a line that says `up`, and is killed by SIGKILL. */
  launchAndCrash(spec: LaunchSpec): Promise<void>;
  /** Living processes that carry the launch id, looked up without the runtime. */
  carriers(launchId: LaunchId): Promise<readonly number[]>;
  alive(pid: number): Promise<boolean>;
  /** Launches that the site still remembers. */
  remembered(): Promise<readonly LaunchId[]>;
  /** The number here of a process that an engine sees as `pid`; absent: the same. */
  hostPid?(launchId: LaunchId, pid: number): Promise<number>;
  /**
   * Starts something that runs until it is ended and was launched by no runtime. `unmarked`: it looks like an engine and
   * has no state id. `other_state`: it is another gateway's. `debris`: it carries our state id, and no record knows it.
   */
  startForeign?(kind: 'unmarked' | 'other_state' | 'debris', launchId: LaunchId): Promise<ForeignProcess>;
  /** A gateway with another state directory beside ours. */
  openOther?(): Promise<Runtime>;
  dispose(): Promise<void>;
}

export interface ForeignProcess {
  alive(): Promise<boolean>;
  end(): Promise<void>;
}

/** Where runtimes differ and may. */
export interface RuntimeTraits {
  /** Lines of stdout and stderr arrive in the order in which they were written. */
  readonly keepsOutputOrder: boolean;
  /** HOME of a program whose launch names none. */
  readonly home: string;
  /** All processes of an engine end with its first one. */
  readonly endsWithLeader: boolean;
  /** How an adopted engine ended is known. */
  readonly knowsAdoptedExits: boolean;
  /** Every engine has a network of its own, where all may listen on one port. */
  readonly sharesTcpAddress: boolean;
}

export const TRAITS_OF_PROCESSES: RuntimeTraits = {
  keepsOutputOrder: true,
  home: '',
  endsWithLeader: false,
  knowsAdoptedExits: false,
  sharesTcpAddress: false,
};

export interface RuntimeConformanceOptions {
  readonly name: string;
  site(): Promise<RuntimeSite>;
  /** argv and environment that run a POSIX shell script where engines run. */
  program(script: string): Pick<LaunchSpec, 'argv' | 'environment'>;
  /** What is not named is as it is for processes of this host. */
  readonly traits?: Partial<RuntimeTraits>;
}

export interface Bench {
  readonly traits: RuntimeTraits;
  readonly site: RuntimeSite;
  readonly runtime: Runtime;
  readonly program: RuntimeConformanceOptions['program'];
}

/** Runs until it is told to end; says `up` when its trap is set. */
export const OBEDIENT = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done';
export const STUBBORN = 'trap "" TERM; echo up; while :; do sleep 0.05; done';
/** A child in a session of its own, without our environment, as a daemon would make itself; it tells when it is there. */
export const WITH_RUNAWAY = `setsid env -i PATH="$PATH" sh -c 'echo "runaway $$"; sleep 300; :' & ${OBEDIENT}`;
export const WITH_ORPHAN = 'setsid sleep 300 & echo up; sleep 0.1; exit 3';

let serial = 0;

export function nextLaunchId(): LaunchId {
  serial += 1;
  return `c${process.pid.toString(36)}-${serial.toString(36)}`;
}

export async function specOf(
  bench: Bench,
  script: string,
  kind: 'unix' | 'tcp' = 'unix',
): Promise<LaunchSpec> {
  const launchId = nextLaunchId();
  return {
    launchId,
    model: 'm',
    ...bench.program(script),
    listen: await bench.runtime.address(launchId, kind),
    image: null,
    deviceSource: 'simulated',
    files: [],
    deviceIds: ['GPU-1'],
    memoryMibPerDevice: 1000,
    signature: 'sig',
  };
}

export async function launch(
  bench: Bench,
  script: string,
): Promise<{ readonly handle: EngineHandle; readonly heard: RecordingObserver; readonly spec: LaunchSpec }> {
  const spec = await specOf(bench, script);
  const heard = createRecordingObserver();
  const result = await bench.runtime.launch(spec, heard);
  assert.equal(result.kind, 'launched', JSON.stringify(result));
  assert.ok(result.kind === 'launched');
  return { handle: result.handle, heard, spec };
}

export type Run = (title: string, body: (bench: Bench, t: TestContext) => Promise<void>) => void;
