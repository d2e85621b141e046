import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closedLoop } from './clients/closed-loop.ts';
import { generatedRequests } from './generators/generated-requests.ts';
import { mergedSource } from './merged-source.ts';
import type { SimulatedRequest } from './request-source.ts';

const lengths = () => ({ promptTokens: 1, outputTokens: 1 });

test('sources come in order of time, and answers go to the source whose request it was', () => {
  const open = generatedRequests('aegaeon:n=2,rate=1,hours=0.01', 1, lengths);
  const closed = closedLoop('model=c,clients=3,think_s=20,think=fixed', 1, lengths);
  const source = mergedSource([open, closed]);
  assert.deepEqual(source.models, ['m0', 'm1', 'c']);
  const stream = source.open();
  const requests: SimulatedRequest[] = [];
  for (let request = stream.next(); request !== null; request = stream.next()) requests.push(request);
  assert.ok(requests.every(({ atMs }, index) => atMs >= (requests[index - 1]?.atMs ?? 0)));
  assert.equal(requests.filter(({ model }) => model === 'c').length, 3);
  assert.ok(requests.length > 30);
  for (const request of requests) {
    const next = stream.ended?.(request, 'answered', 50_000) ?? null;
    assert.equal(next?.atMs ?? null, request.model === 'c' ? 70_000 : null);
  }
  stream.close();
});

test('a single source stays itself', () => {
  const closed = closedLoop('model=c', 1, lengths);
  assert.equal(mergedSource([closed]), closed);
});
