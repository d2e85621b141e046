/**
 * `npm run simulate:faults -- --seeds N [--first S]`: runs the real control loop through N seeds of a world that lies. A seed
 * that fails is told with its last events and the command that repeats it; the exit code is then 1.
 */
import { parseArgs } from 'node:util';
import type { FaultKind } from '../../src/simulator/faults/fault.ts';
import { type FaultOutcome, runFaults } from '../../src/simulator/faults/fault-run.ts';

/** After so many the rest will hardly tell anything else. */
const FAILURES_TOLD_MAX = 5;
const VIOLATIONS_TOLD_MAX = 10;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
  },
});

function count(text: string, option: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0) return number;
  process.stderr.write(`--${option} is a whole number, not ${text}\n`);
  process.exit(2);
}

function tell({ seed, violations, tail }: FaultOutcome): void {
  const more = violations.length - VIOLATIONS_TOLD_MAX;
  const lines = [
    `seed ${seed} fails:`,
    ...violations.slice(0, VIOLATIONS_TOLD_MAX).map((text) => `  ${text}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
    'before that:',
    ...tail.map((text) => `  ${text}`),
    `repeat it: npm run simulate:faults -- --seed ${seed}`,
    '',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

const only = values.seed === undefined ? null : count(values.seed, 'seed');
const first = only ?? count(values.first, 'first');
const seeds = only === null ? count(values.seeds, 'seeds') : 1;
const faults = new Map<FaultKind, number>();
const failed: number[] = [];
let decisions = 0;
let running = first;
process.on('unhandledRejection', (error) => {
  process.stdout.write(
    `seed ${running} fails: ${error instanceof Error ? error.stack : String(error)}\nrepeat it: npm run simulate:faults -- --seed ${running}\n`,
  );
  process.exit(1);
});
const beganMs = performance.now();
const beganCpu = process.cpuUsage();
for (running = first; running < first + seeds && failed.length < FAILURES_TOLD_MAX; running += 1) {
  const outcome = await runFaults({ seed: running });
  decisions += outcome.decisions;
  for (const [kind, number] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + number);
  if (outcome.violations.length === 0) continue;
  failed.push(running);
  tell(outcome);
}
const ran = running - first;
const tookMs = performance.now() - beganMs;
const { user, system } = process.cpuUsage(beganCpu);
const cpuMs = (user + system) / 1000;
const injected = [...faults.values()].reduce((sum, number) => sum + number, 0);
const kinds = [...faults].sort((a, b) => b[1] - a[1]).map(([kind, number]) => `${kind} ${number}`);
process.stdout.write(
  [
    `${ran} seeds from ${first}, ${injected} faults (${(injected / ran).toFixed(1)} a seed), ${decisions} decisions in ${(tookMs / 1000).toFixed(1)} s, ${(tookMs / ran).toFixed(1)} ms a seed (${(cpuMs / ran).toFixed(1)} ms of processor time)`,
    kinds.join(', '),
    failed.length === 0 ? 'none failed' : `failed: ${failed.join(' ')}`,
    '',
  ].join('\n'),
);
if (failed.length > 0) process.exitCode = 1;
