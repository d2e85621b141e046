/**
 * Moves: how long it takes from the scheduler's decision until the first request is dispatched, and which part of that is
 * ours: all beyond what the engine takes for the same when it is asked without a gateway.
 *  - `wake`: there is room, and a model is woken.
 *  - `wake after …`, `start after …`: the neighbour on the only device leaves first, by a sleep or a stop.
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
import { mean, type Row, table } from './table.ts';

/** As in bench:swap, so that probes of readiness are met at many moments. */
const LOAD_SECONDS = [0.4, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7, 3.1];
const ROUNDS = 3;
const SLEEP_S = 0.1;
const WAKE_S = 0.2;
/** Far longer than a sleep and a waking, so that sleeping is preferred. */
const SLEEPER_LOAD_S = 3;
/** Longer than any linger of a model whose clients ask once. */
const IDLE_MS = 500;

function models(): Record<string, unknown> {
  const times = ['--sim-sleep-seconds', SLEEP_S, '--sim-wake-seconds', WAKE_S];
  const starters = LOAD_SECONDS.map((loadSeconds) => [
    `start${loadSeconds}`,
    simulatedModel({ loadSeconds, keys: { sleep: 'off' } }),
  ]);
  const sleepers = ['sleeper', 'neighbour'].map((name) => [
    name,
    simulatedModel({ loadSeconds: SLEEPER_LOAD_S, args: times }),
  ]);
  return Object.fromEntries([...starters, ...sleepers]);
}

/** In this order every kind of move occurs at least `ROUNDS * LOAD_SECONDS.length` times. */
function visits(): readonly string[] {
  const list: string[] = ['sleeper', 'neighbour'];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const seconds of LOAD_SECONDS) list.push('sleeper', `start${seconds}`);
    for (const seconds of LOAD_SECONDS) list.push(`start${seconds}`);
    for (const _ of LOAD_SECONDS) list.push('sleeper', 'neighbour');
  }
  return list;
}

async function recordedMoves(): Promise<readonly Move[]> {
  const directory = await mkdtemp(join(tmpdir(), 'vg-moves-'));
  try {
    const record = join(directory, 'run.jsonl');
    const gateway = await startGateway({ config: simulatedConfig(models()), args: ['--record', record] });
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

const alone: EngineTimes[] = [];
for (const loadS of LOAD_SECONDS) alone.push(await engineAlone({ loadS, sleepS: SLEEP_S, wakeS: WAKE_S }));
const moves = await recordedMoves();

/** What the engine takes beyond what it is told, and to end. */
const own = {
  stopMs: mean(alone.map(({ stopMs }) => stopMs)),
  startMs: mean(alone.map(({ startExcessMs }) => startExcessMs)),
  sleepMs: mean(alone.map(({ sleepExcessMs }) => sleepExcessMs)),
  wakeMs: mean(alone.map(({ wakeExcessMs }) => wakeExcessMs)),
};

function leavingMs({ neighbour }: Move): number {
  if (neighbour === null) return 0;
  return neighbour === 'stop' ? own.stopMs : 1000 * SLEEP_S + own.sleepMs;
}

function comingMs({ model, way }: Move): number {
  if (way === 'wake') return 1000 * WAKE_S + own.wakeMs;
  const loadS = model.startsWith('start') ? Number(model.slice('start'.length)) : SLEEPER_LOAD_S;
  return 1000 * loadS + own.startMs;
}

function rowOf(
  what: string,
  some: readonly Move[],
  times: (move: Move) => { readonly totalMs: number; readonly engineMs: number },
): Row {
  const measured = some.map(times);
  return {
    what,
    totalMs: measured.map(({ totalMs }) => totalMs),
    engineMs: measured.map(({ engineMs }) => engineMs),
  };
}

function swapRow(way: Move['way'], neighbour: 'stop' | 'sleep'): Row {
  const some = moves.filter((move) => move.way === way && move.neighbour === neighbour);
  return rowOf(`${way} after a ${neighbour}`, some, (move) => ({
    totalMs: move.dispatchedMs - move.decidedMs,
    engineMs: leavingMs(move) + comingMs(move),
  }));
}

/** A move's own part, from when there is room. */
function comingRow(way: Move['way']): Row {
  const some = moves.filter((move) => move.way === way);
  return rowOf(way, some, (move) => ({
    totalMs: move.dispatchedMs - move.roomMs,
    engineMs: comingMs(move),
  }));
}

function leavingRow(neighbour: 'stop' | 'sleep'): Row {
  const some = moves.filter((move) => move.neighbour === neighbour);
  return rowOf(neighbour, some, (move) => ({
    totalMs: move.roomMs - move.decidedMs,
    engineMs: leavingMs(move),
  }));
}

const swaps = [
  comingRow('wake'),
  swapRow('wake', 'sleep'),
  swapRow('wake', 'stop'),
  swapRow('start', 'stop'),
  swapRow('start', 'sleep'),
];
const parts = [leavingRow('stop'), leavingRow('sleep'), comingRow('start'), comingRow('wake')];
const excess = [own.startMs, own.sleepMs, own.wakeMs].map((ms) => ms.toFixed(1));
process.stdout.write(
  `${table(swaps)}\n\nTheir parts, until there is room and from then on:\n${table(parts)}\n\n` +
    `The engine alone takes ${own.stopMs.toFixed(1)} ms to end, and beyond what it is told ` +
    `${excess[0]} ms to start, ${excess[1]} ms to sleep and ${excess[2]} ms to wake.\n`,
);
