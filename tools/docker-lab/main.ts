/**
 * `docker-lab`: starts the tests' Docker and keeps it until it is interrupted, for looking at things by hand.
 * `docker-lab sweep ROOT`: waits for the end of its input, then removes what labs have left whose owners are gone.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { sweepOldLabs } from './daemon.ts';
import { openDockerLab } from './lab.ts';

const SWEEPS_MAX = 20;
const SWEEP_EVERY_MS = 250;

async function keepLab(): Promise<void> {
  const opened = await openDockerLab();
  if (opened.kind === 'unavailable') {
    process.stderr.write(`docker-lab: not here: ${opened.reason}\n`);
    process.exitCode = 1;
    return;
  }
  process.stdout.write(`export DOCKER_HOST=${opened.daemon.host}\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  await opened.daemon.dispose();
}

/** What was killed may hold its files for a moment. */
async function sweepUntilGone(root: string): Promise<void> {
  for (let attempt = 0; attempt < SWEEPS_MAX && existsSync(root); attempt++) {
    sweepOldLabs();
    await sleep(SWEEP_EVERY_MS);
  }
}

if (process.argv[2] === 'sweep') {
  await once(process.stdin.resume(), 'close');
  await sweepUntilGone(process.argv[3] ?? '');
} else {
  await keepLab();
}
