/**
 * What every runtime must do, as tests. An implementation's own test file calls `runtimeConformance` with a way to make
 * itself; what only it can show (its files, its tools) stands beside the call.
 */
import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { adoptionCases } from './conformance-adoption.ts';
import type { Bench, Run, RuntimeConformanceOptions } from './conformance-bench.ts';
import {
  launch,
  nextLaunchId,
  OBEDIENT,
  STUBBORN,
  specOf,
  TRAITS_OF_PROCESSES,
  WITH_ORPHAN,
  WITH_RUNAWAY,
} from './conformance-bench.ts';
import type { RecordingObserver } from './recording-observer.ts';
import { createRecordingObserver } from './recording-observer.ts';
import type { EngineHandle } from './runtime.ts';

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
}

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

async function runawayPid(bench: Bench, handle: EngineHandle, heard: RecordingObserver): Promise<number> {
  const pid = Number((await heard.waitForLine(/runaway/)).split(' ')[1]);
  return (await bench.site.hostPid?.(handle.launchId, pid)) ?? pid;
}

function byPlaceIn(order: readonly string[]): (a: string, b: string) => number {
  return (a, b) => order.indexOf(a) - order.indexOf(b);
}
