/** Each check of a storm is shown what it must catch, one doctored look at a time, and what it must let pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  aftermath,
  doubles,
  expectedToLive,
  type Look,
  leftovers,
  lostEngines,
  NO_AFTERMATH,
  orphans,
  type PostMortem,
  StartBook,
  unfinished,
} from './checks.ts';
import type { EngineWord, LivingEngine, Remnant } from './engine-census.ts';
import type { StoredLaunch } from './stored-launches.ts';

const NONE: ReadonlySet<string> = new Set();

function engine(launchId: string, model: string | null = 'm', identity: string | null = `${launchId}:1`) {
  return { launchId, model, identity, pids: [1], socketPath: null } satisfies LivingEngine;
}

function stored(launchId: string, stage = 'serving', model = 'm'): StoredLaunch {
  return { launchId, model, stage, isFindable: true };
}

function look(
  engines: readonly LivingEngine[],
  launches: readonly StoredLaunch[],
  remnants: readonly Remnant[] = [],
): Look {
  return { engines, stored: launches, remnants };
}

function left(
  engines: readonly LivingEngine[],
  launches: readonly StoredLaunch[],
  word: EngineWord = 'awake',
): PostMortem {
  return { ...look(engines, launches), words: new Map(engines.map(({ launchId }) => [launchId, word])) };
}

test('an engine without a record is an orphan, one of ours that was planted is not', () => {
  const both = look([engine('a'), engine('b')], [stored('a')]);
  assert.match(orphans(both, NONE).join(), /^orphan: b /);
  assert.deepEqual(orphans(both, new Set(['b'])), []);
  assert.match(leftovers(both, new Set(['b'])).join(), /^debris: b /);
});

test('a container in which nothing runs needs a record, and a later gateway that removes it', () => {
  const ended = { launchId: 'a', what: 'an exited container' };
  const helper = { launchId: null, what: 'a created container' };
  const now = look([], [], [ended, helper]);
  assert.deepEqual(orphans(now, NONE), ['orphan: a, an exited container, is in no record']);
  assert.deepEqual(orphans({ ...now, stored: [stored('a', 'starting')] }, NONE), []);
  assert.equal(leftovers(now, new Set(['a'])).length, 2);
  assert.deepEqual(leftovers(now, NONE), ['debris: a created container (null) is left']);
  const before = { ...now, words: new Map() };
  assert.equal(unfinished(before, now).length, 2);
  assert.deepEqual(unfinished(before, look([], [], [{ ...ended, launchId: 'b' }])), []);
});

test('a record of nothing is left over, except of a launch that is just being made', () => {
  assert.match(leftovers(look([], [stored('a')]), NONE).join(), /^record of nothing: a /);
  assert.deepEqual(leftovers(look([], [stored('a', 'starting')]), NONE), []);
  assert.deepEqual(leftovers(look([engine('a')], [stored('a')]), NONE), []);
});

test('two engines of a model are one too many, unless one is being stopped', () => {
  const engines = [engine('a'), engine('b'), engine('c', 'other')];
  const rest = [stored('b'), stored('c', 'serving', 'other')];
  assert.deepEqual(doubles(look(engines, [stored('a'), ...rest]), NONE), ['two engines: m has a and b']);
  assert.deepEqual(doubles(look(engines, [stored('a', 'stopping'), ...rest]), NONE), []);
  // Helpers that outlive their leader still hold its memory; the record says whose they are.
  const helpers = [engine('a', null, null), engine('b')];
  assert.equal(doubles(look(helpers, [stored('a'), stored('b')]), NONE).length, 1);
});

test('a launch id that belongs to another process than before was started twice', () => {
  const book = new StartBook();
  assert.deepEqual(book.see([engine('a'), engine('b')]), []);
  assert.deepEqual(book.see([engine('a')]), []);
  assert.match(book.see([engine('a', 'm', '9:9')]).join(), /^started twice: a was a:1 and is 9:9$/);
  assert.equal(book.starts, 2);
});

test('the next gateway must keep what was healthy or on its way, and nothing else', () => {
  const kept = (stage: string, word: EngineWord, isFindable = true): boolean =>
    expectedToLive(left([engine('a')], [{ ...stored('a', stage), isFindable }], word)).length === 1;
  assert.deepEqual(
    ['serving', 'asleep'].map((stage) => [kept(stage, 'awake'), kept(stage, 'silent')]),
    [
      [true, false],
      [true, false],
    ],
  );
  assert.deepEqual(
    ['starting', 'falling_asleep', 'waking'].map((stage) => kept(stage, 'silent')),
    [true, true, true],
  );
  assert.equal(kept('stopping', 'awake'), false);
  assert.equal(kept('starting', 'silent', false), false, 'its process stands in no record');
  assert.equal(expectedToLive(left([engine('a')], [])).length, 0, 'it stands in no record');
});

test('an engine that was healthy and is gone is lost, unless the gateway has stopped it for another one', () => {
  const before = left([engine('a')], [stored('a')]);
  assert.deepEqual(lostEngines(before, [engine('a')], []), []);
  assert.match(lostEngines(before, [], []).join(), /^not kept: a .*nothing was said of it$/);
  assert.match(lostEngines(before, [engine('a', 'm', '9:9')], []).join(), /^not kept: a /, 'restarted');
  const stop = (text: string) => [{ launchId: 'a', text }];
  assert.deepEqual(lostEngines(before, [], stop('stop m: it gives way to n')), []);
  const adoption = stop('stop m (a): the configuration has no place for this engine of an earlier gateway');
  assert.equal(lostEngines(before, [], adoption).length, 1);
  assert.equal(lostEngines(before, [], stop('engine of m ended: it died')).length, 1);
  assert.equal(lostEngines(before, [], [{ launchId: 'b', text: 'stop n: for room' }]).length, 1);
});

test('moves that stand as they stood are unfinished', () => {
  const stages = ['starting', 'falling_asleep', 'waking', 'stopping'];
  const before = left(
    stages.map((stage) => engine(stage, stage)),
    stages.map((stage) => stored(stage, stage)),
  );
  assert.equal(unfinished(before, before).length, 4);
  const after = look(
    before.engines.filter(({ launchId }) => launchId !== 'stopping'),
    [stored('starting'), stored('falling_asleep', 'asleep'), stored('waking')],
  );
  assert.deepEqual(unfinished(before, after), []);
  assert.deepEqual(aftermath(before, after), {
    ...NO_AFTERMATH,
    resumedStarts: 1,
    finishedStops: 1,
    finishedSleeps: 1,
    finishedWakes: 1,
  });
});

test('what serves on as the same process was adopted, what was never recorded is debris', () => {
  const before = left([engine('a'), engine('b'), engine('c')], [stored('a'), stored('b', 'asleep')]);
  const now = look([engine('a'), engine('b')], before.stored);
  assert.deepEqual(aftermath(before, now), { ...NO_AFTERMATH, adopted: 2, endedDebris: 1 });
  const restarted = { ...now, engines: [engine('a'), engine('b', 'm', '9:9'), engine('c')] };
  assert.deepEqual(aftermath(before, restarted), { ...NO_AFTERMATH, adopted: 1 });
  const created = { ...left([], []), remnants: [{ launchId: 'd', what: 'a created container' }] };
  assert.deepEqual(aftermath(created, look([], [])), { ...NO_AFTERMATH, endedDebris: 1 });
  assert.deepEqual(aftermath(created, look([], [], created.remnants)), NO_AFTERMATH);
});
