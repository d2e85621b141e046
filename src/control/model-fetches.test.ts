import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../test/fakes/fake-launch.ts';
import { loadConfig } from '../config/load.ts';
import type { Preparation } from '../runtimes/runtime.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import type { FetchOptions, FetchResult } from '../weights/fetcher.ts';
import { ModelFetches } from './model-fetches.ts';

const SOURCE = { model: 'a/a', tokenizer: null, isComplete: true, files: [] };

async function fetchesWorld(opens: () => void = () => {}, image: Preparation = { kind: 'ready' }) {
  const loaded = await loadConfig({ object: { models: { a: { repo: 'a/a' } } }, environment: {} });
  assert.ok(loaded.ok);
  const events: SchedulerEvent[] = [];
  const asked: { options: FetchOptions; answer: (result: FetchResult) => void }[] = [];
  const fetches = new ModelFetches({
    config: loaded.value,
    runtime: { prepare: async () => image },
    report: (event) => void events.push(event),
    log: () => {},
    openFetcher: async () => {
      opens();
      return {
        fetch: (_model, options) => new Promise((answer) => void asked.push({ options, answer })),
        close: async () => {},
      };
    },
  });
  const begin = async () => {
    fetches.carryOut({ kind: 'fetch', model: 'a', reason: '' });
    await settle();
  };
  return { fetches, events, asked, begin };
}

test('what was fetched is what the next launch reads', async () => {
  const { fetches, events, asked, begin } = await fetchesWorld();
  await begin();
  assert.equal(fetches.sourceOf('a'), null);
  asked[0]?.options.onProgress({ bytesDone: 1, bytesTotal: 2, file: 'f' });
  asked[0]?.answer({ kind: 'ready', source: SOURCE, fetchedBytes: 2 });
  await settle();
  assert.deepEqual(events, [
    { kind: 'fetching', model: 'a', bytesDone: 1, bytesTotal: 2 },
    { kind: 'fetched', model: 'a', failure: null },
  ]);
  assert.deepEqual(fetches.sourceOf('a'), SOURCE);
});

test('a cancelled fetch is told to end and reports nothing more, whatever the next one does', async () => {
  const { fetches, events, asked, begin } = await fetchesWorld();
  await begin();
  fetches.carryOut({ kind: 'cancel_fetch', model: 'a', reason: '' });
  assert.equal(asked[0]?.options.signal.aborted, true);
  await begin();
  asked[0]?.options.onProgress({ bytesDone: 1, bytesTotal: 2, file: 'f' });
  asked[0]?.answer({ kind: 'ready', source: SOURCE, fetchedBytes: 2 });
  await settle();
  assert.deepEqual(events, []);
  asked[1]?.answer({ kind: 'failed', failure: { cause: 'gated_repository', text: 'no', retryable: false } });
  await settle();
  const failure = { cause: 'gated_repository', text: 'it could not be fetched: no', retryable: false };
  assert.deepEqual(events, [{ kind: 'fetched', model: 'a', failure }]);
});

test('a fetcher that cannot be made is a failed fetch', async () => {
  const { events, begin } = await fetchesWorld(() => {
    throw new Error('no room');
  });
  await begin();
  assert.equal(events[0]?.kind === 'fetched' && events[0].failure?.retryable, true);
});

test('without its image nothing is fetched', async () => {
  const image = { kind: 'failed', cause: 'image_missing', detail: 'there is no such image' } as const;
  const { events, asked, begin } = await fetchesWorld(() => {}, image);
  await begin();
  assert.equal(asked.length, 0);
  const text = 'it could not be fetched: there is no such image';
  assert.deepEqual(events, [
    { kind: 'fetched', model: 'a', failure: { cause: 'image_missing', text, retryable: true } },
  ]);
});
