import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine, ProbeResult, SleepResult } from '../engines/engine.ts';
import { type ProbePorts, suspectFault } from './readiness.ts';

/** An engine whose server answers so, and whose model works so; `asked` counts the short answers that were wanted. */
function ports(probe: ProbeResult, work: () => SleepResult): ProbePorts & { asked: number } {
  const engine: Pick<Engine, 'probe' | 'warmUp'> = {
    probe: async () => probe,
    warmUp: async () => {
      made.asked += 1;
      return work();
    },
  };
  const clock = {
    nowMs: () => 0,
    wallMs: () => 0,
    setTimer: (_atMs: number, fire: () => void) => {
      fire();
      return () => {};
    },
  };
  const made = { clock, engine, http: {}, model: {}, signal: new AbortController().signal, asked: 0 };
  return made as unknown as ProbePorts & { asked: number };
}

const HEALTHY: ProbeResult = { kind: 'ready', contextLength: null };
const hangs = (): SleepResult => ({ kind: 'failed', detail: 'no answer within 60000 ms' });
const runs = (): boolean => false;

test('a healthy server is believed, unless it is mute: then it has to work', async () => {
  const heard = ports(HEALTHY, hangs);
  assert.equal(await suspectFault(heard, runs, { isMute: false }), null);
  assert.equal(await suspectFault(heard, runs, null), null);
  assert.equal(heard.asked, 0);
  const mute = ports(HEALTHY, hangs);
  assert.equal(await suspectFault(mute, runs, { isMute: true }), 'it hangs: no answer within 60000 ms');
  assert.equal(mute.asked, 1);
  const slow = ports(HEALTHY, () => ({ kind: 'done' }));
  assert.equal(await suspectFault(slow, runs, { isMute: true }), null);
});

test('an answer to anybody while it is asked shows that it works', async () => {
  const endpoint = { isMute: true };
  const busy = ports(HEALTHY, () => {
    endpoint.isMute = false;
    return hangs();
  });
  assert.equal(await suspectFault(busy, runs, endpoint), null);
});

test('a server that does not answer is dead whatever it was before', async () => {
  const dead = ports({ kind: 'not_ready', detail: 'refused' }, hangs);
  assert.equal(await suspectFault(dead, runs, { isMute: true }), 'refused');
  assert.equal(dead.asked, 0);
});
