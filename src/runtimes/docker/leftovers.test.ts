import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOfLaunch } from './launch-containers.ts';
import { createLeftovers } from './leftovers.ts';
import { containerName, LAUNCH_ID_LABEL } from './marks.ts';

test('what is left is tried until it is cleared, one try at a time', async () => {
  const leftovers = createLeftovers(() => undefined);
  const tries: PromiseWithResolvers<void>[] = [];
  leftovers.keep('a', () => {
    const begun = Promise.withResolvers<void>();
    tries.push(begun);
    return begun.promise;
  });
  leftovers.tryAgain();
  leftovers.tryAgain();
  assert.equal(tries.length, 1);
  tries[0]?.reject(new Error('busy'));
  await new Promise(setImmediate);
  leftovers.tryAgain();
  assert.equal(tries.length, 2);
  tries[1]?.resolve();
  await new Promise(setImmediate);
  leftovers.tryAgain();
  assert.equal(tries.length, 2);
  leftovers.keep('b', async () => assert.fail('it is closed'));
  leftovers.close();
  leftovers.tryAgain();
});

test('a container is a launch’s by its labels and its name, or by the id in the record', () => {
  const name = containerName('vllm_server', 'org/Model', 'l-1');
  const table: readonly (readonly [string, string, string | null, boolean])[] = [
    [name, 'l-1', null, true],
    [`/${name}`, 'l-1', 'other', true],
    ['/renamed', 'l-1', 'id', true],
    ['/users-own', 'l-1', 'other', false],
    [`/${name}`, 'l-2', 'id', false],
    ['/l-1', 'l-1', null, true],
  ];
  for (const [listed, label, containerId, wanted] of table) {
    const container = { Id: 'id', Names: [listed], Labels: { [LAUNCH_ID_LABEL]: label } };
    assert.equal(isOfLaunch(container, 'l-1', containerId), wanted, listed);
  }
});
