import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lease } from '../control/gate.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { ProgressAnswer, type ProgressAnswerOptions } from './progress-answer.ts';
import { WaitEstimates } from './wait-estimates.ts';

const LEASE = { load: 'wake', waitedMs: 7_000.4, queueDepth: 3 } as Lease;

function make(sinceMs = 0) {
  const clock = new VirtualClock();
  const writes: string[] = [];
  const socket = { writableLength: 0 };
  const response = {
    socket: socket as { writableLength: number } | null,
    destroyed: false,
    writableEnded: false,
    writeHead: (status: number) => void writes.push(`head ${status}`),
    write: (text: string) => void writes.push(text),
  };
  const estimate = {
    phase: 'loading',
    readyInMs: 30_000,
    basis: 'assumed',
    why: 'w',
    percent: null,
  } as const;
  const progress = new ProgressAnswer({
    kind: 'comments',
    afterMs: 5_000,
    sinceMs,
    model: 'm',
    requestId: 'r',
    takesChunks: true,
    // What is used of a response is here.
    response: response as unknown as ProgressAnswerOptions['response'],
    clock,
    estimates: new WaitEstimates(clock, () => estimate),
    owner: { isLast: false, corsHeaders: [], progressBegan: () => void writes.push('began') },
  });
  return { clock, writes, socket, response, progress };
}

test('the head after its time, then a frame every ten seconds, until it is stopped', () => {
  const { clock, writes, progress } = make();
  progress.wait();
  clock.advanceTo(4_999);
  assert.deepEqual(writes, []);
  clock.advanceTo(5_000);
  assert.deepEqual(writes.slice(0, 2), ['began', 'head 200']);
  clock.advanceTo(34_999);
  assert.equal(writes.length, 5);
  clock.advanceTo(35_000);
  assert.equal(writes.length, 6);
  progress.stop();
  clock.advanceTo(600_000);
  assert.equal(writes.length, 6);
  assert.equal(clock.pendingCount, 0);
  assert.equal(progress.bytes, Buffer.byteLength(writes.slice(2).join('')));
});

test('served before its time it says nothing; back in the queue, the head comes when it is due', () => {
  const { clock, writes, progress } = make();
  progress.wait();
  clock.advanceTo(3_000);
  progress.answering(LEASE);
  assert.equal(clock.pendingCount, 0);
  clock.advanceTo(20_000);
  assert.deepEqual(writes, []);
  progress.wait();
  progress.wait();
  assert.equal(clock.pendingCount, 1);
  clock.advanceTo(20_000);
  assert.equal(writes.length, 3);
});

test('an engine that has it is told at once and again, and forgotten when it is lost', () => {
  const { clock, writes, progress } = make();
  progress.wait();
  clock.advanceTo(7_000);
  progress.answering(LEASE);
  assert.match(
    writes.at(-1) ?? '',
    /"phase":"answering",.*"load":"wake","queue_wait_ms":7000,"queue_depth":3/,
  );
  clock.advanceTo(15_000);
  assert.match(writes.at(-1) ?? '', /"phase":"answering"/);
  progress.wait();
  clock.advanceTo(25_000);
  assert.match(writes.at(-1) ?? '', /"phase":"loading"/);
});

test('a client that does not read is told nothing more until it does', () => {
  const { clock, writes, socket, progress } = make();
  progress.wait();
  clock.advanceTo(5_000);
  socket.writableLength = 1;
  clock.advanceTo(100_000);
  assert.equal(writes.length, 3);
  socket.writableLength = 0;
  clock.advanceTo(110_000);
  assert.equal(writes.length, 4);
});

test('behind a pipelined response nothing is said, and after the client has left neither', () => {
  const { clock, writes, socket, response, progress } = make();
  response.socket = null;
  progress.wait();
  clock.advanceTo(60_000);
  assert.deepEqual(writes, []);
  response.socket = socket;
  clock.advanceTo(61_000);
  assert.equal(writes.length, 3);
  response.destroyed = true;
  clock.advanceTo(600_000);
  assert.equal(writes.length, 3);
  assert.equal(clock.pendingCount, 0);
});
