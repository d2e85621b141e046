/**
 * `npm run fuzz:http -- --requests N --seed S`: random and broken requests on raw connections against the gateway's front.
 * What fails is told with the command that repeats it; the exit code is then 1.
 */
import { parseArgs } from 'node:util';
import { fuzz } from './run.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    script: { type: 'string' },
  },
});

function whole(text: string, option: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0) return number;
  process.stderr.write(`--${option} is a whole number, not ${text}\n`);
  process.exit(2);
}

const seed = whole(values.seed, 'seed');
const requests = whole(values.requests, 'requests');
const only = values.script === undefined ? undefined : whole(values.script, 'script');
const again = `npm run fuzz:http -- --seed ${seed}`;

function crashed(error: unknown): void {
  process.stdout.write(
    `the front threw: ${error instanceof Error ? error.stack : String(error)}\nrepeat it: ${again} --requests ${requests}\n`,
  );
  process.exit(1);
}
process.on('uncaughtException', crashed);
process.on('unhandledRejection', crashed);

const beganMs = performance.now();
const outcome = await fuzz({ seed, requests, only });
const tookS = (performance.now() - beganMs) / 1000;
for (const { script, text } of outcome.violations) {
  const command = script === null ? `${again} --requests ${requests}` : `${again} --script ${script}`;
  process.stdout.write(`${text}\n  repeat it: ${command}\n`);
}
const tails = Object.entries(outcome.tails).map(([tail, count]) => `${count} ${tail}`);
process.stdout.write(
  [
    `${outcome.requests} requests on ${outcome.scripts} connections (${tails.join(', ')}) in ${tookS.toFixed(1)} s, seed ${seed}`,
    `${outcome.answered} were requests for the front, ${outcome.reachedEngine} reached the engine; memory grew by ${(outcome.grownBytes / 1024 / 1024).toFixed(1)} MiB`,
    outcome.violations.length === 0 ? 'nothing was wrong' : `${outcome.violations.length} things were wrong`,
    '',
  ].join('\n'),
);
process.exitCode = outcome.violations.length === 0 ? 0 : 1;
