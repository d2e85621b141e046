import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createThreadedFetcher } from './fetch-thread.ts';
import type { FetchProgress } from './fetcher.ts';
import {
  fetchedModel,
  fetchWorld,
  MIB,
  putModel,
  SHORT_LIMITS,
  withArguments,
} from './weights-fetcher.fixture.ts';

const PART = 'model-00001-of-00002.safetensors';

test('a thread fetches, tells its progress, and is not needed for what is there', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  putModel(world.hub, 'acme/other');
  const lines: string[] = [];
  const fetcher = createThreadedFetcher({
    environment: { HF_HOME: world.home, HF_ENDPOINT: world.hub.endpoint },
    log: (level, text) => lines.push(`${level}: ${text}`),
    limits: SHORT_LIMITS,
  });
  t.after(() => fetcher.close());
  const progress: FetchProgress[] = [];
  const options = {
    signal: new AbortController().signal,
    onProgress: (each: FetchProgress) => progress.push(each),
  };
  const [first, other] = await Promise.all([
    fetcher.fetch(fetchedModel(), options),
    fetcher.fetch(fetchedModel({ repo: 'acme/other' }), options),
  ]);
  assert.ok(first.kind === 'ready' && first.source.isComplete && first.fetchedBytes > 2 * MIB);
  assert.ok(other.kind === 'ready');
  assert.ok(progress.length > 2);
  const asked = world.hub.requests.length;
  const again = await fetcher.fetch(fetchedModel(), options);
  assert.ok(again.kind === 'ready' && again.fetchedBytes === 0);
  assert.equal(world.hub.requests.length, asked);
  world.hub.fault('/api/', { kind: 'status', status: 404, code: 'RevisionNotFound' }, 1);
  const failed = await fetcher.fetch(fetchedModel(withArguments('--revision', 'v9')), options);
  assert.ok(failed.kind === 'failed' && failed.failure.cause === 'model_not_found', 'a new thread is had');
});

test('what somebody else has fetched after a failure is found by the next fetch, quickly and without a hub', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  const open = world.hub.repositories.get('acme/small');
  assert.ok(open !== undefined);
  world.hub.repositories.set('acme/small', { ...open, gatedFor: 'hf_mine' });
  const fetcher = createThreadedFetcher({
    environment: { HF_HOME: world.home, HF_ENDPOINT: world.hub.endpoint },
    log: () => {},
    limits: SHORT_LIMITS,
  });
  t.after(() => fetcher.close());
  const options = { signal: new AbortController().signal, onProgress: () => {} };
  const refused = await fetcher.fetch(fetchedModel(), options);
  assert.ok(refused.kind === 'failed' && !refused.failure.retryable);
  assert.equal((await world.fetch({ environment: { HF_TOKEN: 'hf_mine' } })).kind, 'ready');
  await world.hub.close();
  const asked = world.hub.requests.length;
  const ready = await fetcher.fetch(fetchedModel(), options);
  assert.ok(ready.kind === 'ready' && ready.fetchedBytes === 0 && ready.source.isComplete);
  assert.equal(world.hub.requests.length, asked);
});

test('a fetch is ended by its signal, and all of them by the end of the fetcher', async (t) => {
  const world = await fetchWorld(t);
  putModel(world.hub);
  world.hub.fault(`small/${PART}`, { kind: 'slow', pieceBytes: 16 * 1024, pauseMs: 20 }, 2);
  const fetcher = createThreadedFetcher({
    environment: { HF_HOME: world.home, HF_ENDPOINT: world.hub.endpoint },
    log: () => {},
    limits: SHORT_LIMITS,
  });
  const abort = new AbortController();
  const first = fetcher.fetch(fetchedModel(), { signal: abort.signal, onProgress: () => {} });
  await world.hub.served(PART, 100_000);
  abort.abort();
  assert.equal((await first).kind, 'failed');
  const { signal } = new AbortController();
  const second = fetcher.fetch(fetchedModel(), { signal, onProgress: () => {} });
  await world.hub.served(PART, 300_000);
  await fetcher.close();
  const result = await second;
  assert.ok(result.kind === 'failed' && result.failure.retryable);
  assert.equal((await fetcher.fetch(fetchedModel(), { signal, onProgress: () => {} })).kind, 'failed');
});
