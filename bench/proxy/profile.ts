/**
 * Where the CPU time of a request or a streamed chunk goes: one load against the gateway under V8's sampling profiler.
 * Prints the CPU time of each thread, and the functions of the main one by their own time or by all beneath them, in
 * microseconds per request or chunk. The `*.cpuprofile`, which browsers draw as a flame graph, is kept in `--keep`.
 *
 *   npm run bench:profile [-- --mode unary|stream] [--seconds 6] [--streams 2] [--target serve|front] [--by self|total] [--top 40] [--keep DIR]
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hotList, type Profile } from './hot-list.ts';
import { end, threadMicroseconds } from './processes.ts';
import { runLoad } from './run-load.ts';
import { gatewayTarget, startEngines, startGateway } from './targets.ts';

/** Microseconds between samples. */
const SAMPLE_US = 250;

const { values } = parseArgs({
  options: {
    mode: { type: 'string', default: 'unary' },
    seconds: { type: 'string', default: '6' },
    streams: { type: 'string', default: '2' },
    target: { type: 'string', default: 'serve' },
    by: { type: 'string', default: 'self' },
    top: { type: 'string', default: '40' },
    keep: { type: 'string' },
  },
});
const mode = values.mode === 'stream' ? 'stream' : 'unary';
const amount = mode === 'stream' ? Number(values.streams) : Number(values.seconds) * 1000;
const directory = await mkdtemp(join(tmpdir(), 'bench-profile-'));
const profiles = values.keep ?? join(directory, 'profiles');
const children: ChildProcess[] = [];

try {
  const enginePort = await startEngines(children);
  const { child, port } = await startGateway(gatewayTarget(values.target), directory, enginePort, [
    '--cpu-prof',
    `--cpu-prof-dir=${profiles}`,
    `--cpu-prof-interval=${SAMPLE_US}`,
  ]);
  children.push(child);
  const pid = child.pid ?? 0;
  const before = await threadMicroseconds(pid);
  const { cpuUs, done } = await runLoad({ pid, port }, mode, amount);
  const after = await threadMicroseconds(pid);
  await end(child);
  console.log(`${done} ${mode === 'stream' ? 'chunks' : 'requests'}, ${(cpuUs / done).toFixed(1)} us each`);
  for (const [name, us] of after) {
    const share = (us - (before.get(name) ?? 0)) / done;
    if (share >= 0.05) console.log(`${share.toFixed(2).padStart(8)}  thread ${name}`);
  }
  const largest = (await Promise.all((await readdir(profiles)).map(read))).sort(
    (one, other) => other.samples.length - one.samples.length,
  )[0];
  if (largest === undefined) throw new Error('the gateway left no profile');
  const key = values.by === 'total' ? 'totalUs' : 'selfUs';
  const functions = hotList(largest).sort((one, other) => other[key] - one[key]);
  for (const hot of functions.slice(0, Number(values.top)))
    console.log(`${(hot[key] / done).toFixed(2).padStart(8)}  ${hot.name}`);
} finally {
  for (const child of children) await end(child);
  await rm(directory, { recursive: true, force: true });
}

async function read(file: string): Promise<Profile> {
  return JSON.parse(await readFile(join(profiles, file), 'utf8')) as Profile;
}
