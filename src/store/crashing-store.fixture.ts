/** The store's thread with faults: a job whose path says so kills it, before or after it was done. */
import { existsSync, writeFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { StoreMessage } from './store-jobs.ts';

parentPort?.on('message', (message: StoreMessage) => {
  if (message === 'close' || message.job.kind !== 'change') return;
  const [statement] = message.job.statements;
  const fault = String(statement?.rows[0]?.[0] ?? '');
  if (fault === 'dies always') process.exit(3);
  const mark = `${message.job.path}.died`;
  if (fault !== 'dies once' || existsSync(mark)) return;
  writeFileSync(mark, '');
  throw new Error('this thread dies once');
});
await import('./store-worker.ts');
