/** A stream that waits for a model, on a virtual clock, for tests of what it is told. */
import type { TestContext } from 'node:test';
import { VirtualClock } from '../../src/core/virtual-clock.ts';
import { type Fixture, type FixtureOptions, MODEL, startFixture } from './front-fixture.ts';
import type { RawClient } from './raw-client.ts';

export const CHAT = '/v1/chat/completions';
export const STREAM = { model: MODEL, stream: true };
export const COMMENTS = ['X-Progress: comments'];
export const DONE = 'data: {"choices":[]}\n\ndata: [DONE]\n\n';

export interface Waiting extends Fixture {
  readonly clock: VirtualClock;
  readonly raw: RawClient;
}

/** A stream that waits for a model that nothing is granted of. */
export async function startWaiting(
  context: TestContext,
  headers: readonly string[] = COMMENTS,
  options: FixtureOptions = {},
  path = CHAT,
  body: object = STREAM,
): Promise<Waiting> {
  const clock = new VirtualClock();
  const fixture = await startFixture(context, { ...options, clock });
  fixture.model.held = true;
  fixture.model.load = 'cold';
  const raw = await fixture.client();
  raw.post(path, body, headers);
  await fixture.gate.until((gate) => gate.waitingCount === 1);
  return { ...fixture, clock, raw };
}

export function release({ model, gate }: Fixture): void {
  model.held = false;
  gate.pump(MODEL);
}

export function comments(received: string): Record<string, unknown>[] {
  return [...received.matchAll(/^: (\{.*\})$/gm)].map(
    ([, json]) => JSON.parse(json ?? '') as Record<string, unknown>,
  );
}

export function serveStream({ engine }: Fixture): void {
  engine.behaviour = (request) => request.startEvents().chunk(DONE).endChunks();
}
