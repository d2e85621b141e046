import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StandingEngine } from '../control/standing-engine.ts';
import { ResponseOwners, type ResponsePlace } from './response-owners.ts';

function codeOf(place: ResponsePlace): string {
  return place.kind === 'ok' ? place.engine.state : place.refusal.code;
}

describe('ResponseOwners', () => {
  it('knows a response as long as the engine stands that made it', () => {
    let engine: StandingEngine | null = { launchId: 'l-1', state: 'open' };
    const owners = new ResponseOwners(() => engine);
    const owner = { model: 'm', launchId: 'l-1' };
    owners.learn('resp_1', owner);
    assert.deepEqual(owners.ownerOf('resp_1'), owner);
    assert.equal(codeOf(owners.placeOf('resp_1', owner)), 'open');
    engine = { launchId: 'l-1', state: 'ending' };
    assert.equal(codeOf(owners.placeOf('resp_1', owner)), 'ending');
    for (const other of [
      null,
      { launchId: 'l-2', state: 'open' } as const,
      { launchId: null, state: 'open' } as const,
    ]) {
      engine = other;
      assert.equal(codeOf(owners.placeOf('resp_1', owner)), 'response_not_found');
    }
  });

  it('asks the engine that a model has now for what it does not know, and none where there is none', () => {
    let engine: StandingEngine | null = { launchId: 'l-7', state: 'open' };
    const owners = new ResponseOwners(() => engine);
    const place = owners.placeIn('resp_1', 'm');
    assert(place.kind === 'ok');
    assert.deepEqual(place.owner, { model: 'm', launchId: 'l-7' });
    engine = null;
    assert.equal(codeOf(owners.placeIn('resp_1', 'm')), 'response_not_found');
  });

  it('forgets those that were made first', () => {
    const owners = new ResponseOwners(() => null, 3);
    for (const id of ['a', 'b', 'c', 'a', 'd']) owners.learn(id, { model: 'm', launchId: null });
    const known = ['a', 'b', 'c', 'd'].filter((id) => owners.ownerOf(id) !== null);
    assert.deepEqual([known, owners.size], [['a', 'c', 'd'], 3]);
  });
});
