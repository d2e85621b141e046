/** Conformance: what the next gateway finds, takes over, ends and leaves alone. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import type { LaunchId } from '../core/ids.ts';
import type { Bench, ForeignProcess, Run, RuntimeSite } from './conformance-bench.ts';
import { launch, nextLaunchId, OBEDIENT, specOf, WITH_ORPHAN } from './conformance-bench.ts';
import { createRecordingObserver, type RecordingObserver } from './recording-observer.ts';
import type { AdoptedEngine, LaunchStage, Runtime } from './runtime.ts';

export function adoptionCases(run: Run): void {
  const adopting = adoptingWith(run);
  takeOverCases(adopting);
  outputCases(adopting);
  handOverCases(adopting);
  strangerCases(run);
}

type AdoptionRun = (title: string, body: (bench: Bench) => Promise<void>) => void;

function adoptingWith(run: Run): AdoptionRun {
  return (title, body) =>
    run(title, async (bench, t) => {
      if (!bench.runtime.capabilities.survivesUs) {
        t.skip('this runtime cannot find engines of an earlier gateway here');
        return;
      }
      await body(bench);
    });
}

function takeOverCases(adopting: AdoptionRun): void {
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
}

/** Numbers its lines, faster than anybody adopts. */
const COUNTING =
  'trap "echo bye; exit 0" TERM; echo up; n=0; while :; do n=$((n+1)); echo "line $n"; sleep 0.01; done';

function outputCases(adopting: AdoptionRun): void {
  adopting(
    'the output of a start is heard from its first line on, each once, by the next gateway',
    async (bench) => {
      const { heard, spec } = await launch(bench, COUNTING);
      await heard.waitForLine(/^line 5$/);
      await bench.runtime.close();
      const next = await bench.site.open();
      const whole = createRecordingObserver();
      const [engine] = await next.adopt(() => whole);
      assert.ok(engine !== undefined);
      assert.equal(engine.handle.launchId, spec.launchId);
      await whole.waitForLine(new RegExp(`^line ${heard.lines.length + 50}$`));
      await stopCounting(next, engine, whole);
      const told = countedIn(whole.lines);
      assertNoHole(told);
      assert.equal(told[0], 1);
      await next.close();
    },
  );

  adopting(
    'of an engine that serves no line is lost by a killed gateway, and none is told twice',
    async (bench) => {
      const spec = await specOf(bench, COUNTING);
      await bench.runtime.close();
      await bench.site.launchAndCrash(spec);
      const heard: number[] = [];
      let engine: AdoptedEngine | undefined;
      // One gateway after the other; what is said between them is in the log alone.
      for (const isLast of [false, true]) {
        const next = await bench.site.open();
        const later = createRecordingObserver();
        [engine] = await next.adopt(() => later);
        assert.ok(engine !== undefined);
        const first = Number((await later.waitForLine(/^line \d/)).slice('line '.length));
        await later.waitForLine(new RegExp(`^line ${first + 50}$`));
        if (isLast) await stopCounting(next, engine, later);
        await next.close();
        const told = countedIn(later.lines);
        assertNoHole(told);
        assert.ok(first > (heard.at(-1) ?? 0), 'what was said before is no news');
        heard.push(...told);
      }
      const path = engine?.handle.outputFile ?? null;
      if (path === null) return;
      const written = countedIn((await readFile(path, 'utf8')).split('\n'));
      assertNoHole(written);
      assert.deepEqual([written[0], written.at(-1)], [1, heard.at(-1)]);
    },
  );
}

/** To its last word. */
async function stopCounting(
  runtime: Runtime,
  { handle }: Pick<AdoptedEngine, 'handle'>,
  heard: RecordingObserver,
): Promise<void> {
  const result = await runtime.stop(handle, 10_000);
  assert.ok(result.kind === 'gone' && !result.forced, JSON.stringify(result));
  assert.deepEqual(heard.heard.slice(-2), ['bye', 'exited']);
}

/** The numbers of lines that are numbered. */
function countedIn(lines: readonly string[]): readonly number[] {
  return lines.flatMap((line) => {
    const number = /^line (\d+)$/.exec(line)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
}

function assertNoHole(numbers: readonly number[]): void {
  const [first = 0] = numbers;
  assert.ok(numbers.length > 0);
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => first + index),
  );
}

function handOverCases(adopting: AdoptionRun): void {
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

/** Only the orphan is left, or nothing. */
async function leaderGone(site: RuntimeSite, launchId: LaunchId): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while ((await site.carriers(launchId)).length > 1 && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
