/**
 * Moves: how long a request waits from the scheduler's decision until it is dispatched, and which part of that is ours:
 * all beyond what the engine itself takes to sleep, wake, load and end.
 *  - `wake`: a model is woken once there is room (of moves whose neighbour fell asleep or was stopped).
 *  - `start after a stop`, `start after a sleep`: the neighbour leaves first.
 *
 *   npm run bench:moves
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { simulatedConfig, simulatedModel, startGateway } from '../../test/fixtures/gateway.ts';
import { chat } from '../../test/fixtures/requests.ts';
import { type EngineTimes, engineAlone } from './engine-alone.ts';
import { type Move, readMoves } from './record.ts';

/** As in bench:swap, so that probes of readiness are met at many moments. */
const LOAD_SECONDS = [0.4, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7, 3.1];
const ROUNDS = 3;
const SLEEP_S = 0.1;
const WAKE_S = 0.2;
const ALONE_RUNS = 8;
/** Longer than any linger of a model whose clients ask once. */
const IDLE_MS = 500;
const SLEEPER_LOAD_S = 3;

const sleepTimes = ['--sim-sleep-seconds', SLEEP_S, '--sim-wake-seconds', WAKE_S];

function models(): Record<string, unknown> {
  const starters = LOAD_SECONDS.map((loadSeconds) => [
    `start${loadSeconds}`,
    simulatedModel({ loadSeconds, keys: { sleep: 'off' } }),
  ]);
  const sleepers = ['sleeper', 'neighbour'].map((name) => [
    name,
    simulatedModel({ loadSeconds: SLEEPER_LOAD_S, args: sleepTimes }),
  ]);
  return Object.fromEntries([...starters, ...sleepers]);
}

/** The models in an order in which every kind of move occurs often enough. */
function visits(): readonly string[] {
  const list: string[] = ['sleeper', 'neighbour'];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const seconds of LOAD_SECONDS) list.push('sleeper', `start${seconds}`);
    for (const seconds of LOAD_SECONDS) list.push(`start${seconds}`);
    for (let count = 0; count < LOAD_SECONDS.length; count += 1) list.push('sleeper', 'neighbour');
  }
  return list;
}

async function recordedMoves(): Promise<readonly Move[]> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-moves-'));
  try {
    const record = join(directory, 'run.jsonl');
    const config = simulatedConfig(models());
    const gateway = await startGateway({ config, args: ['--record', record] });
    try {
      for (const model of visits()) {
        await pause(IDLE_MS);
        const { status, text } = await chat(gateway.url, model, { tokens: 1 });
        if (status !== 200) throw new Error(`${model} answers ${status}: ${text}`);
      }
    } finally {
      await gateway.stop();
    }
    return await readMoves(record);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Row {
  readonly what: string;
  readonly totalMs: readonly number[];
  readonly engineMs: readonly number[];
}

function loadMsOf(model: string): number {
  return 1000 * (model.startsWith('start') ? Number(model.slice('start'.length)) : SLEEPER_LOAD_S);
}

/** `aloneMs`: what the engine takes to end. Its excess over told times counts as ours, except for that. */
function rowOf(
  what: string,
  moves: readonly Move[],
  engineMsOf: (move: Move) => number,
  from: keyof Move,
): Row {
  return {
    what,
    totalMs: moves.map((move) => move.dispatchedMs - Number(move[from])),
    engineMs: moves.map(engineMsOf),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function printed(rows: readonly Row[]): string {
  const header = ['move', 'count', 'total ms', "engine's ms", 'ours: mean', 'worst', 'share'];
  const cells = rows.map(({ what, totalMs, engineMs }) => {
    const ours = totalMs.map((ms, index) => ms - (engineMs[index] ?? 0));
    const share = `${((100 * mean(ours)) / mean(totalMs)).toFixed(1)} %`;
    const numbers = [mean(totalMs), mean(engineMs), mean(ours), Math.max(...ours)].map((ms) => ms.toFixed(1));
    return [what, String(totalMs.length), ...numbers, share];
  });
  const widths = header.map((text, column) =>
    Math.max(text.length, ...cells.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join('  ');
  return [header, ...cells].map(line).join('\n');
}

const alone: EngineTimes[] = [];
for (let run = 0; run < ALONE_RUNS; run += 1) {
  alone.push(
    await engineAlone({
      loadS: LOAD_SECONDS[run % LOAD_SECONDS.length] ?? 1,
      sleepS: SLEEP_S,
      wakeS: WAKE_S,
    }),
  );
}
const stopMs = mean(alone.map((times) => times.stopMs));
const moves = await recordedMoves();
const of = (way: Move['way'], neighbour: Move['neighbour']): readonly Move[] =>
  moves.filter((move) => move.way === way && move.neighbour === neighbour);
const woken = moves.filter((move) => move.way === 'wake');
const rows = [
  rowOf('wake', woken, () => 1000 * WAKE_S, 'begunMs'),
  rowOf('wake after a sleep', of('wake', 'sleep'), () => 1000 * (SLEEP_S + WAKE_S), 'decidedMs'),
  rowOf('wake after a stop', of('wake', 'stop'), () => stopMs + 1000 * WAKE_S, 'decidedMs'),
  rowOf('start after a stop', of('start', 'stop'), ({ model }) => stopMs + loadMsOf(model), 'decidedMs'),
  rowOf(
    'start after a sleep',
    of('start', 'sleep'),
    ({ model }) => 1000 * SLEEP_S + loadMsOf(model),
    'decidedMs',
  ),
];
const parts = [
  partOf('the neighbour stops', of('start', 'stop'), () => stopMs, 'decidedMs', 'roomMs'),
  partOf(
    'the neighbour sleeps',
    moves.filter(({ neighbour }) => neighbour === 'sleep'),
    () => 1000 * SLEEP_S,
    'decidedMs',
    'roomMs',
  ),
  partOf('room to begin', moves, () => 0, 'roomMs', 'begunMs'),
  partOf(
    'start to ready',
    moves.filter(({ way }) => way === 'start'),
    ({ model }) => loadMsOf(model),
    'begunMs',
    'readyMs',
  ),
  partOf('wake to awake', woken, () => 1000 * WAKE_S, 'begunMs', 'readyMs'),
  partOf('ready to dispatch', moves, () => 0, 'readyMs', 'dispatchedMs'),
];

function partOf(
  what: string,
  some: readonly Move[],
  engineMsOf: (move: Move) => number,
  from: keyof Move,
  to: keyof Move,
): Row {
  return {
    what,
    totalMs: some.map((move) => Number(move[to]) - Number(move[from])),
    engineMs: some.map(engineMsOf),
  };
}

const excess = (name: 'startExcessMs' | 'sleepExcessMs' | 'wakeExcessMs'): string =>
  mean(alone.map((times) => times[name])).toFixed(1);
process.stdout.write(
  `${printed(rows)}\n\nIts parts:\n${printed(parts)}\n\nThe engine alone takes ${stopMs.toFixed(1)} ms to end, and beyond what it is told ${excess('startExcessMs')} ms to start, ${excess('sleepExcessMs')} to sleep, ${excess('wakeExcessMs')} to wake.\n`,
);
