/**
 * What every runtime must do, as tests. An implementation's own test file calls `runtimeConformance` with a way to make
 * itself; what only it can show (its files, its tools) stands beside the call.
 */
import assert from 'node:assert/strict';
import { access, writeFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { LaunchId } from '../core/ids.ts';
import type { RecordingObserver } from './recording-observer.ts';
import { createRecordingObserver } from './recording-observer.ts';
import type { EngineHandle, LaunchSpec, LaunchStage, Runtime } from './runtime.ts';

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

const TRAITS_OF_PROCESSES: RuntimeTraits = {
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

interface Bench {
  readonly traits: RuntimeTraits;
  readonly site: RuntimeSite;
  readonly runtime: Runtime;
  readonly program: RuntimeConformanceOptions['program'];
}

/** Runs until it is told to end; says `up` when its trap is set. */
const OBEDIENT = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done';
const STUBBORN = 'trap "" TERM; echo up; while :; do sleep 0.05; done';
/** A child in a session of its own, without our environment, as a daemon would make itself; it tells when it is there. */
const WITH_RUNAWAY = `setsid env -i PATH="$PATH" sh -c 'echo "runaway $$"; sleep 300; :' & ${OBEDIENT}`;
const WITH_ORPHAN = 'setsid sleep 300 & echo up; sleep 0.1; exit 3';

let serial = 0;

function nextLaunchId(): LaunchId {
  serial += 1;
  return `c${process.pid.toString(36)}-${serial.toString(36)}`;
}

async function specOf(bench: Bench, script: string, kind: 'unix' | 'tcp' = 'unix'): Promise<LaunchSpec> {
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

async function launch(
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

/** Registers the suite. */
export function runtimeConformance(options: RuntimeConformanceOptions): void {
  const run = (title: string, body: (bench: Bench, t: TestContext) => Promise<void>): void => {
    test(`${options.name}: ${title}`, async (t) => {
      const site = await options.site();
      const runtime = await site.open();
      t.after(async () => {
        await runtime.close();
        await site.dispose();
      });
      const traits = { ...TRAITS_OF_PROCESSES, ...options.traits };
      await body({ site, runtime, program: options.program, traits }, t);
    });
  };
  outputCases(run);
  failureCases(run);
  stopCases(run);
  runawayCases(run);
  adoptionCases(run);
  strangerCases(run);
}

type Run = (title: string, body: (bench: Bench, t: TestContext) => Promise<void>) => void;

function outputCases(run: Run): void {
  run('R2, R4: both outputs arrive line by line, all before the one exit', async (bench) => {
    const { heard } = await launch(bench, 'echo one; echo two >&2; printf "half\\rbar\\nlast"; exit 7');
    assert.deepEqual(await heard.waitForExit(), { code: 7, signal: null });
    const wanted = ['one', 'two', 'half', 'bar', 'last'];
    const got = bench.traits.keepsOutputOrder ? heard.lines : [...heard.lines].sort(byPlaceIn(wanted));
    assert.deepEqual(got, wanted);
    assert.deepEqual(
      heard.lines.filter((line) => line !== 'two'),
      wanted.filter((line) => line !== 'two'),
    );
    assert.equal(heard.heard.at(-1), 'exited');
  });

  run('an engine that ends by a signal tells which', async (bench) => {
    const { heard } = await launch(bench, 'kill -KILL $$');
    assert.deepEqual(await heard.waitForExit(), { code: null, signal: 'SIGKILL' });
  });

  run('the environment is what the launch says and nothing of ours', async (bench) => {
    const spec = await specOf(bench, 'echo "[$WORD|$HOME|$VLLM_GATEWAY_LAUNCH_ID]"');
    const heard = createRecordingObserver();
    await bench.runtime.launch({ ...spec, environment: { ...spec.environment, WORD: 'a b' } }, heard);
    assert.equal(await heard.waitForLine(/^\[/), `[a b|${bench.traits.home}|${spec.launchId}]`);
  });

  run('arguments reach the program as they are', async (bench) => {
    const spec = await specOf(bench, 'for a; do echo "<$a>"; done');
    const heard = createRecordingObserver();
    const argv = [...spec.argv, 'name', '$HOME; echo x', '', '"q"'];
    await bench.runtime.launch({ ...spec, argv }, heard);
    await heard.waitForExit();
    assert.deepEqual(heard.lines, ['<$HOME; echo x>', '<>', '<"q">']);
  });

  run('launches at the same time get addresses of their own', async (bench) => {
    const kinds = Array.from(
      { length: 8 },
      (_, index) => (index % 2 === 0 ? 'unix' : 'tcp') as 'unix' | 'tcp',
    );
    const given = await Promise.all(kinds.map((kind) => bench.runtime.address(nextLaunchId(), kind)));
    const addresses = given.filter(({ kind }) => kind === 'unix' || !bench.traits.sharesTcpAddress);
    assert.equal(new Set(addresses.map((address) => JSON.stringify(address))).size, addresses.length);
  });
}

function failureCases(run: Run): void {
  run('R1: a program that is not there fails the launch and leaves nothing', async (bench) => {
    const spec = await specOf(bench, '');
    const heard = createRecordingObserver();
    const result = await bench.runtime.launch({ ...spec, argv: ['no-such-program-anywhere'] }, heard);
    assert.ok(result.kind === 'failed');
    assert.equal(result.cause, 'executable_missing');
    assert.match(result.detail, /no-such-program-anywhere cannot be found .*: .*`vllm_executable`/);
    assert.deepEqual(heard.heard, []);
    assert.deepEqual(await bench.site.remembered(), []);
  });

  run('a program that may not be executed fails the launch', async (bench) => {
    const spec = await specOf(bench, '');
    const result = await bench.runtime.launch({ ...spec, argv: ['/etc/passwd'] }, createRecordingObserver());
    assert.ok(result.kind === 'failed');
    assert.equal(result.cause, 'permission');
  });
}

function stopCases(run: Run): void {
  run('R3, R4: an obedient engine ends by SIGTERM, once, and nothing is left of it', async (bench) => {
    const { handle, heard, spec } = await launch(bench, OBEDIENT);
    await heard.waitForLine(/up/);
    const result = await bench.runtime.stop(handle, 10_000);
    assert.ok(result.kind === 'gone', JSON.stringify(result));
    assert.equal(result.forced, false);
    assert.deepEqual(heard.heard.slice(-2), ['bye', 'exited']);
    assert.deepEqual(heard.exits, [{ code: 0, signal: null }]);
    assert.deepEqual(await bench.site.carriers(spec.launchId), []);
    assert.deepEqual(await bench.site.remembered(), []);
  });

  run('the socket file is gone after a stop', async (bench) => {
    const spec = await specOf(
      bench,
      'echo > "$0"; trap "exit 0" TERM; echo up; while :; do sleep 0.05; done',
    );
    assert.ok(spec.listen.kind === 'unix');
    const { socketPath } = spec.listen;
    const heard = createRecordingObserver();
    const result = await bench.runtime.launch({ ...spec, argv: [...spec.argv, socketPath] }, heard);
    assert.ok(result.kind === 'launched');
    await heard.waitForLine(/up/);
    const outer = result.handle.listen;
    assert.ok(outer.kind === 'unix');
    await access(outer.socketPath);
    await bench.runtime.stop(result.handle, 10_000);
    await assert.rejects(access(outer.socketPath), /ENOENT/);
  });

  run('an engine that ignores SIGTERM is killed when its grace is over, not before', async (bench) => {
    const { handle, heard } = await launch(bench, STUBBORN);
    await heard.waitForLine(/up/);
    const result = await bench.runtime.stop(handle, 300);
    assert.ok(result.kind === 'gone');
    assert.equal(result.forced, true);
    assert.ok(result.tookMs >= 300, `${result.tookMs} ms`);
    assert.deepEqual(heard.exits, [{ code: null, signal: 'SIGKILL' }]);
  });

  run('a second stop joins the first', async (bench) => {
    const { handle, heard } = await launch(bench, OBEDIENT);
    await heard.waitForLine(/up/);
    const [first, second] = await Promise.all([
      bench.runtime.stop(handle, 10_000),
      bench.runtime.stop(handle, 10_000),
    ]);
    assert.deepEqual(first, second);
    assert.equal(heard.exits.length, 1);
  });

  run('a kill ends the grace of a stop under way', async (bench) => {
    const { handle, heard } = await launch(bench, STUBBORN);
    await heard.waitForLine(/up/);
    const stopping = bench.runtime.stop(handle, 600_000);
    const killed = await bench.runtime.kill(handle);
    assert.ok(killed.kind === 'gone');
    assert.deepEqual(await stopping, killed);
  });

  run('an engine that has ended by itself can be stopped, and stopped again', async (bench) => {
    const { handle, heard } = await launch(bench, 'exit 1');
    await heard.waitForExit();
    for (const _ of [1, 2]) {
      const result = await bench.runtime.stop(handle, 10_000);
      assert.ok(result.kind === 'gone');
      assert.equal(result.forced, false);
    }
    assert.equal(heard.exits.length, 1);
    assert.deepEqual(await bench.site.remembered(), []);
  });

  run('an engine that ends while its launch is not yet recorded as running is told once', async (bench) => {
    const heard = createRecordingObserver();
    const launching = bench.runtime.launch(await specOf(bench, 'exit 0'), heard);
    let launched = false;
    const exit = heard.waitForExit().then(() => assert.ok(launched, 'the exit came before the launch'));
    await launching;
    launched = true;
    await exit;
    assert.equal(heard.exits.length, 1);
  });
}

function runawayCases(run: Run): void {
  run('R3: a child that left group and environment ends with its engine', async (bench) => {
    const { handle, heard } = await launch(bench, WITH_RUNAWAY);
    await heard.waitForLine(/up/);
    const pid = await runawayPid(bench, handle, heard);
    assert.equal(await bench.site.alive(pid), true);
    const result = await bench.runtime.stop(handle, 5_000);
    assert.ok(result.kind === 'gone', JSON.stringify(result));
    assert.equal(result.forced, !bench.traits.endsWithLeader);
    assert.equal(await bench.site.alive(pid), false);
  });

  run(
    'the processes of each launch are known while it lives, those that left its group too',
    async (bench) => {
      const first = await launch(bench, WITH_RUNAWAY);
      const second = await launch(bench, OBEDIENT);
      for (const { heard } of [first, second]) await heard.waitForLine(/up/);
      const runaway = await runawayPid(bench, first.handle, first.heard);
      const known = await bench.runtime.processes();
      assert.deepEqual([...known.keys()], [first.spec.launchId, second.spec.launchId]);
      assert.ok(known.get(first.spec.launchId)?.includes(runaway), `${known.get(first.spec.launchId)}`);
      for (const pid of known.get(second.spec.launchId) ?? []) {
        assert.notEqual(pid, runaway);
      }
      for (const { handle } of [first, second]) await bench.runtime.kill(handle);
      assert.equal((await bench.runtime.processes()).size, 0);
    },
  );

  run('R3: what an engine left when it died by itself is ended by the stop', async (bench) => {
    const { handle, heard, spec } = await launch(bench, WITH_ORPHAN);
    assert.deepEqual(await heard.waitForExit(), { code: 3, signal: null });
    assert.equal((await bench.site.carriers(spec.launchId)).length, bench.traits.endsWithLeader ? 0 : 1);
    const result = await bench.runtime.kill(handle);
    assert.ok(result.kind === 'gone', JSON.stringify(result));
    assert.deepEqual(await bench.site.carriers(spec.launchId), []);
  });
}

function adoptionCases(run: Run): void {
  const adopting = (title: string, body: (bench: Bench) => Promise<void>): void =>
    run(title, async (bench, t) => {
      if (!bench.runtime.capabilities.survivesUs) {
        t.skip('this runtime cannot find engines of an earlier gateway here');
        return;
      }
      await body(bench);
    });

  adopting(
    'an engine outlives a killed gateway, and the next one hears, knows and stops it',
    async (bench) => {
      const spec = await specOf(
        bench,
        'trap "echo bye; exit 0" TERM; echo up; while :; do echo tick; sleep 0.05; done',
      );
      await bench.runtime.close();
      await bench.site.launchAndCrash(spec);
      assert.equal((await bench.site.carriers(spec.launchId)).length >= 1, true);

      const next = await bench.site.open();
      const heard = createRecordingObserver();
      const [engine, ...others] = await next.adopt(() => heard);
      assert.ok(engine !== undefined && others.length === 0);
      const { environment: _, ...known } = engine.spec;
      const { environment: __, ...launched } = spec;
      assert.deepEqual(known, launched);
      assert.equal(engine.handle.launchId, spec.launchId);
      await heard.waitForLine(/tick/);
      const result = await next.stop(engine.handle, 10_000);
      assert.ok(result.kind === 'gone' && !result.forced, JSON.stringify(result));
      assert.deepEqual(heard.heard.slice(-2), ['bye', 'exited']);
      assert.equal(heard.exits.length, 1);
      assert.equal(heard.exits[0]?.code, bench.traits.knowsAdoptedExits ? 0 : null);
      assert.equal(heard.exits[0]?.signal, null);
      assert.deepEqual(await bench.site.carriers(spec.launchId), []);
      await next.close();
    },
  );

  adopting('an adopted engine that ends by itself is told once', async (bench) => {
    const spec = await specOf(bench, '');
    const pipe = `${spec.listen.kind === 'unix' ? spec.listen.socketPath : ''}.pipe`;
    await bench.runtime.close();
    const script = `mkfifo ${pipe}; echo up; read -r line < ${pipe}; rm ${pipe}; echo "got $line"`;
    await bench.site.launchAndCrash({ ...spec, argv: bench.program(script).argv });
    const next = await bench.site.open();
    const heard = createRecordingObserver();
    const [engine] = await next.adopt(() => heard);
    assert.ok(engine?.handle.listen.kind === 'unix');
    await writeFile(`${engine.handle.listen.socketPath}.pipe`, 'hello\n');
    await heard.waitForExit();
    assert.deepEqual(heard.heard, ['got hello', 'exited']);
    await next.kill(engine.handle);
    await next.close();
  });

  adopting('R5: what was noted of an engine is known to the next gateway', async (bench) => {
    const stages: readonly LaunchStage[] = [
      { kind: 'serving' },
      { kind: 'falling_asleep', level: 1 },
      { kind: 'asleep', level: 2 },
      { kind: 'waking', level: 2 },
    ];
    const launched = await launch(bench, OBEDIENT);
    await launched.heard.waitForLine(/up/);
    let runtime = bench.runtime;
    let { handle } = launched;
    for (const stage of stages) {
      await runtime.note(handle, stage);
      await runtime.close();
      runtime = await bench.site.open();
      const [engine] = await runtime.adopt(() => createRecordingObserver());
      assert.ok(engine !== undefined);
      assert.deepEqual(engine.stage, stage);
      handle = engine.handle;
    }
    assert.ok((await runtime.kill(handle)).kind === 'gone');
    await runtime.note(handle, { kind: 'serving' });
    assert.deepEqual(await bench.site.remembered(), []);
    await runtime.close();
  });

  adopting('closing leaves engines running and silent; the next gateway takes them over', async (bench) => {
    const { heard, spec } = await launch(bench, OBEDIENT);
    await heard.waitForLine(/up/);
    await bench.runtime.close();
    const next = await bench.site.open();
    const again = createRecordingObserver();
    const [engine] = await next.adopt(() => again);
    assert.ok(engine !== undefined);
    assert.equal(engine.handle.launchId, spec.launchId);
    assert.ok((await next.stop(engine.handle, 10_000)).kind === 'gone');
    assert.deepEqual(heard.exits, []);
    await next.close();
  });

  adopting('R1: a launch that ended while nobody watched is forgotten, with what it left', async (bench) => {
    const spec = await specOf(bench, WITH_ORPHAN);
    await bench.runtime.close();
    await bench.site.launchAndCrash(spec);
    await leaderGone(bench.site, spec.launchId);
    const next = await bench.site.open();
    assert.deepEqual(await next.adopt(() => createRecordingObserver()), []);
    assert.deepEqual(await bench.site.remembered(), []);
    assert.deepEqual(await bench.site.carriers(spec.launchId), []);
    await next.close();
  });
}

/** R6. */
function strangerCases(run: Run): void {
  const withForeign = (
    kind: 'unmarked' | 'other_state' | 'debris',
    title: string,
    body: (bench: Bench, foreign: ForeignProcess) => Promise<void>,
  ): void =>
    run(title, async (bench, t) => {
      if (bench.site.startForeign === undefined || !bench.runtime.capabilities.survivesUs) {
        t.skip('this site starts nothing foreign');
        return;
      }
      const foreign = await bench.site.startForeign(kind, nextLaunchId());
      t.after(() => foreign.end());
      assert.equal(await foreign.alive(), true);
      await body(bench, foreign);
    });
  for (const kind of ['unmarked', 'other_state'] as const) {
    withForeign(kind, `R6: a stranger is left alone (${kind})`, async (bench, foreign) => {
      assert.deepEqual(await bench.runtime.adopt(() => createRecordingObserver()), []);
      const { handle, heard } = await launch(bench, OBEDIENT);
      await heard.waitForLine(/up/);
      await bench.runtime.stop(handle, 10_000);
      assert.equal(await foreign.alive(), true);
    });
  }
  withForeign('debris', 'what is ours and in no record is ended', async (bench, foreign) => {
    assert.deepEqual(await bench.runtime.adopt(() => createRecordingObserver()), []);
    assert.equal(await foreign.alive(), false);
  });

  run('R6: a gateway with another state directory leaves our engines alone', async (bench, t) => {
    if (bench.site.openOther === undefined) return t.skip('this site has one gateway');
    const { handle, heard, spec } = await launch(bench, OBEDIENT);
    await heard.waitForLine(/up/);
    const other = await bench.site.openOther();
    assert.deepEqual(await other.adopt(() => createRecordingObserver()), []);
    await other.close();
    assert.ok((await bench.site.carriers(spec.launchId)).length > 0);
    assert.deepEqual(heard.exits, []);
    await bench.runtime.kill(handle);
  });
}

async function runawayPid(bench: Bench, handle: EngineHandle, heard: RecordingObserver): Promise<number> {
  const pid = Number((await heard.waitForLine(/runaway/)).split(' ')[1]);
  return (await bench.site.hostPid?.(handle.launchId, pid)) ?? pid;
}

function byPlaceIn(order: readonly string[]): (a: string, b: string) => number {
  return (a, b) => order.indexOf(a) - order.indexOf(b);
}

/** Only the orphan is left, or nothing. */
async function leaderGone(site: RuntimeSite, launchId: LaunchId): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while ((await site.carriers(launchId)).length > 1 && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
