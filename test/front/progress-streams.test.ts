/** Whatever happens to a waiting stream and in whatever order, its client sees exactly one valid answer. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../src/core/virtual-clock.ts';
import type { FakeRequest } from '../fakes/fake-engine.ts';
import { type Fixture, MODEL, startFixture } from './front-fixture.ts';
import type { RawClient } from './raw-client.ts';

const CHAT = '/v1/chat/completions';
const EVENT = 'data: {"choices":[]}\n\n';
const DONE = 'data: [DONE]\n\n';
const RUNS = 150;

/** What an engine does with one attempt. */
const ENGINE_ACTIONS = {
  streams: (request: FakeRequest) => request.startEvents().chunk(EVENT).chunk(DONE).endChunks(),
  streamsAtOnce: (request: FakeRequest) =>
    request
      .startEvents()
      .chunk(EVENT + DONE)
      .endChunks(),
  refuses: (request: FakeRequest) => request.json({ error: { message: 'no', code: 400 } }, 400),
  fails: (request: FakeRequest) => request.json({ error: { message: 'oh', code: 500 } }, 500),
  answersJson: (request: FakeRequest) => request.json({ whole: true }),
  dies: (request: FakeRequest) => request.reset(),
  diesAfterHead: (request: FakeRequest) => {
    request.startEvents();
    setImmediate(() => request.reset());
  },
  diesInMidStream: (request: FakeRequest) => {
    request.startEvents().chunk('data: {"half');
    setImmediate(() => request.reset());
  },
  isMalformed: (request: FakeRequest) => request.raw('no HTTP at all\r\n\r\n'),
} as const;

type EngineAction = keyof typeof ENGINE_ACTIONS;
type Step = 'time' | 'moment' | 'hold' | 'release' | 'turn' | 'refuse' | 'cut';

const steps: readonly Step[] = ['time', 'moment', 'hold', 'release', 'turn', 'refuse', 'cut'];
const actions = Object.keys(ENGINE_ACTIONS) as EngineAction[];

interface Run extends Fixture {
  readonly clock: VirtualClock;
}

async function take(run: Run, step: Step): Promise<void> {
  const { clock, gate, model } = run;
  const refusal = { code: 'drain_cut', parameters: { model: MODEL, seconds: 1 } } as const;
  if (step === 'time') clock.advanceTo(clock.nowMs() + 5_000);
  else if (step === 'moment') clock.advanceTo(clock.nowMs() + 700);
  else if (step === 'hold') model.held = true;
  else if (step === 'refuse') gate.refuseWaiting(MODEL, refusal);
  else if (step === 'cut') gate.cutRunning(MODEL, refusal);
  else if (step === 'release') {
    model.held = false;
    gate.pump(MODEL);
  }
  await new Promise((resolve) => setImmediate(resolve));
}

test('exactly one head, one end, and no progress after the first byte', async (context) => {
  const counts = { early: 0, failed: 0, done: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('comments', 'reasoning'),
      fc.array(fc.constantFrom(...steps), { maxLength: 14 }),
      fc.array(fc.constantFrom(...actions), { maxLength: 3 }),
      async (kind, script, attempts) => {
        const run = await begin(context);
        const { gate, model, engine, ended } = run;
        model.held = true;
        const left = [...attempts];
        engine.behaviour = (request) => void ENGINE_ACTIONS[left.shift() ?? 'streams'](request);
        const raw = await run.client();
        raw.post(CHAT, { model: MODEL, stream: true }, [`X-Progress: ${kind}`]);
        await gate.until(({ events }) => events.length > 0);
        for (const step of script) await take(run, step);
        await take(run, 'release');
        const [end, second] = await ended(1);
        assert.equal(second, undefined);
        assertOneAnswer(await untilOver(raw), counts);
        assert.equal(gate.runningCount + gate.waitingCount, 0);
        assert.equal(run.clock.pendingCount, 0);
        assert.ok(end !== undefined && end.status > 0);
        raw.close();
        await run.front.close();
        await engine.die();
      },
    ),
    { numRuns: RUNS },
  );
  // The runs were of all kinds.
  assert.ok(counts.early > 10 && counts.failed > 10 && counts.done > 10, JSON.stringify(counts));
});

async function begin(context: TestContext): Promise<Run> {
  const clock = new VirtualClock();
  return { ...(await startFixture(context, { clock })), clock };
}

/** All bytes of the one answer. */
function untilOver(raw: RawClient): Promise<string> {
  return raw.until((text) => {
    const length = /content-length: (\d+)/i.exec(text)?.[1];
    const at = text.indexOf('\r\n\r\n');
    return (
      at >= 0 && (length === undefined ? text.endsWith('0\r\n\r\n') : text.length >= at + 4 + Number(length))
    );
  });
}

function assertOneAnswer(bytes: string, counts: { early: number; failed: number; done: number }): void {
  assert.equal(bytes.match(/HTTP\/1\.1 /g)?.length, 1, bytes);
  const at = bytes.indexOf('\r\n\r\n');
  const head = bytes.slice(0, at);
  if (!/text\/event-stream/.test(head)) {
    assert.match(head, /content-length/i);
    assert.ok(!/^: /m.test(bytes.slice(at + 4)));
    return;
  }
  const body = unchunked(bytes.slice(at + 4));
  const events = body.split('\n\n').filter((event) => event !== '');
  const progress = events.map(
    (event) => event.startsWith(': ') || event.includes('reasoning_content') || event.includes('"role"'),
  );
  // Progress stands in front of what the engine sent, never within it.
  assert.ok(!progress.slice(progress.indexOf(false)).includes(true) || !progress.includes(false), body);
  if (progress[0] === true) counts.early += 1;
  const failures = events.filter((event) => /^data: \{"error"/.test(event)).length;
  const dones = events.filter((event) => event === 'data: [DONE]').length;
  assert.equal(failures + dones, 1, body);
  assert.match(events.at(-1) ?? '', /^data: (\[DONE\]|\{"error")/);
  counts.failed += failures;
  counts.done += dones;
  if (dones === 1)
    assert.equal(events.filter((event) => event === EVENT.trim() || event.includes('whole')).length, 1);
}

function unchunked(text: string): string {
  let body = '';
  for (let at = 0; ; ) {
    const end = text.indexOf('\r\n', at);
    const length = Number.parseInt(text.slice(at, end), 16);
    if (length === 0) return body;
    assert.ok(length > 0, 'a chunk has no length');
    body += text.slice(end + 2, end + 2 + length);
    assert.equal(text.slice(end + 2 + length, end + 4 + length), '\r\n');
    at = end + 4 + length;
  }
}
