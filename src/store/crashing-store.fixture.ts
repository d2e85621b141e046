/**
 * The store's thread with faults: a job whose value says so kills it; while there is a file beside the database that is named
 * `….stuck`, it stands still, as on a disk that hangs.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { StoreMessage } from './store-jobs.ts';

parentPort?.on('message', (message: StoreMessage) => {
  if (message === 'close') return;
  const cell = new Int32Array(new SharedArrayBuffer(4));
  while (existsSync(`${message.job.path}.stuck`)) Atomics.wait(cell, 0, 0, 10);
  if (message.job.kind !== 'change') return;
  const [statement] = message.job.statements;
  const fault = String(statement?.rows[0]?.[0] ?? '');
  if (fault === 'dies always') process.exit(3);
  const mark = `${message.job.path}.died`;
  if (fault !== 'dies once' || existsSync(mark)) return;
  writeFileSync(mark, '');
  throw new Error('this thread dies once');
});
await import('./store-worker.ts');
