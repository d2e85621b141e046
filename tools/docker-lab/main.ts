/** `docker-lab`: starts the tests' Docker and keeps it until it is interrupted, for looking at things by hand. */
import { openDockerLab } from './lab.ts';

const opened = await openDockerLab();
if (opened.kind === 'unavailable') {
  process.stderr.write(`docker-lab: not here: ${opened.reason}\n`);
  process.exitCode = 1;
} else {
  const { daemon } = opened;
  process.stdout.write(`export DOCKER_HOST=${daemon.host}\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  await daemon.dispose();
}
