/** A storm: a gateway under load that is killed again and again, and what was found after each death. */
import { spawnSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createPrng, type Prng } from '../../src/core/prng.ts';
import {
  type Aftermath,
  addAftermath,
  aftermath,
  doubles,
  type Look,
  leftovers,
  lostEngines,
  NO_AFTERMATH,
  orphans,
  type PostMortem,
  StartBook,
  unfinished,
} from './checks.ts';
import { faultsOfClients, type Outage } from './client-ledger.ts';
import { Crowd } from './clients.ts';
import type { EngineWord } from './engine-census.ts';
import { GatewayLife, wordsOf } from './gateway-life.ts';
import { standingOf } from './standing.ts';
import { readStoredLaunches } from './stored-launches.ts';
import { prepareMachine, remains, type StormMachine } from './storm-machine.ts';
import { ANY_MOVE, type KillPoint, nextKillPoint, STORM_MODELS, stormWishes } from './storm-plan.ts';
import type { StormRuntime } from './storm-runtime.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/vllm-gateway.mjs', import.meta.url));
const CLIENTS = 8;
const READY_LIMIT_MS = 20_000;
/** A slow start, or an engine that has to be killed after its grace. */
const SETTLE_LIMIT_MS = 20_000;
const SERVED_LIMIT_MS = 30_000;
const MOVE_LIMIT_MS = 2_500;
const STOP_LIMIT_MS = 45_000;
const LOOK_PAUSE_MS = 50;
const SAMPLE_PAUSE_MS = 150;
/** Beyond this a storm shows nothing new. */
const FAULTS_MAX = 40;
/** Of a gateway's log, below a fault. */
const LINES_TOLD_MAX = 40;
/** Of the kills asked for, where too little has happened by then. */
const MORE_SHARE = 1.5;
/** Every so many kills debris is planted, and a second gateway is tried. */
const PLANT_STEP = 6;
const RIVAL_STEP = 15;

export interface StormSetup {
  readonly runtime: StormRuntime;
  readonly kills: number;
  readonly seed: number;
  readonly print: (line: string) => void;
  /** Has enough happened to tell? On a busy machine it goes on, for half as many kills again at most. */
  readonly isEnough: (result: StormResult) => boolean;
}

export interface Revival {
  readonly adopted: number;
  /** From the spawn to `/ready`, and to the end of the first request that was served whole. */
  readonly readyMs: number;
  readonly servedMs: number;
}

export interface StormResult {
  readonly kills: number;
  readonly starts: number;
  readonly aftermath: Aftermath;
  readonly plantedDebris: number;
  readonly rivalsRefused: number;
  readonly revivals: readonly Revival[];
  readonly outcomes: ReadonlyMap<string, number>;
  /** Streams that had begun when their gateway was killed, and were seen to break. */
  readonly brokenStreams: number;
  readonly killedAt: ReadonlyMap<string, number>;
  readonly faults: readonly string[];
}

/** Never rejects for what the gateway does; ends all that it has started. */
export async function runStorm(setup: StormSetup): Promise<StormResult> {
  const random = createPrng(setup.seed);
  const machine = await prepareMachine(setup.runtime, random);
  const storm = new Storm(setup, machine, random);
  try {
    await storm.run();
  } finally {
    await storm.end();
  }
  return storm.result();
}

class Storm {
  readonly #setup: StormSetup;
  readonly #machine: StormMachine;
  readonly #random: Prng;
  readonly #crowd: Crowd;
  readonly #faults: string[] = [];
  readonly #outages: Outage[] = [];
  readonly #revivals: Revival[] = [];
  readonly #killedAt = new Map<string, number>();
  readonly #starts = new StartBook();
  readonly #planted = new Set<string>();
  #aftermath = NO_AFTERMATH;
  #left: PostMortem = { engines: [], stored: [], remnants: [], words: new Map() };
  #lives = 0;
  #rivalsRefused = 0;
  #isEnding = false;

  constructor(setup: StormSetup, machine: StormMachine, random: Prng) {
    this.#setup = setup;
    this.#machine = machine;
    this.#random = random;
    this.#crowd = new Crowd({
      url: `http://127.0.0.1:${machine.port}`,
      models: stormWishes(setup.runtime.wishes),
      clients: CLIENTS,
      seed: setup.seed,
    });
    // Before the first gateway listens nobody is there, as between a death and the next one.
    this.#outages.push({
      killedMs: performance.now(),
      exitedMs: performance.now(),
      listeningMs: Number.POSITIVE_INFINITY,
    });
  }

  async run(): Promise<void> {
    const strangers = await this.#machine.engines.plantStrangers();
    const sampling = this.#sample().catch((error: unknown) => this.#fault(`it cannot be seen: ${error}`));
    try {
      for (let kill = 1; this.#goesOn(kill) && this.#faults.length < FAULTS_MAX; kill += 1) {
        if (!(await this.#oneLife(nextKillPoint(this.#random, this.#setup.runtime.times)))) return;
        if (kill % 10 === 0) this.#setup.print(this.#line(kill));
      }
      if (this.#faults.length < FAULTS_MAX) await this.#lastLife();
      for (const fault of await strangers.touched()) this.#fault(fault);
    } finally {
      this.#isEnding = true;
      await strangers.end();
      await sampling;
    }
  }

  #goesOn(kill: number): boolean {
    const { kills, isEnough } = this.#setup;
    return kill <= kills || (kill <= kills * MORE_SHARE && !isEnough(this.result()));
  }

  async end(): Promise<void> {
    await this.#machine.end();
    await this.#crowd.end();
  }

  /** False when the gateway cannot serve at all: neither will its next life. */
  async #oneLife(point: KillPoint): Promise<boolean> {
    const life = this.#begin();
    const served = this.#untilServed(life);
    const isEarly = point.kind === 'early';
    let name = point.kind === 'move' ? point.name : point.kind;
    const isServing = isEarly || ((await this.#isInOrder(life)) && (await this.#hasServed(life, served)));
    if (isEarly) await pause(point.afterMs);
    else if (isServing) {
      if (this.#lives % RIVAL_STEP === 0) this.#tryRival(life);
      if (point.kind === 'move') name = await this.#untilMove(life, point);
      await pause(point.afterMs);
    }
    this.#killedAt.set(name, 1 + (this.#killedAt.get(name) ?? 0));
    await this.#kill(life);
    if (this.#lives % PLANT_STEP === 0 && (await this.#machine.plantDebris(`planted-${this.#lives}`)))
      this.#planted.add(`planted-${this.#lives}`);
    return isServing;
  }

  /** Whatever moves, when the wanted move does not come soon. Answers what it was. */
  async #untilMove(life: GatewayLife, { line, name }: Extract<KillPoint, { kind: 'move' }>): Promise<string> {
    if (await life.untilLine(line, MOVE_LIMIT_MS)) return name;
    return (await life.untilLine(ANY_MOVE, MOVE_LIMIT_MS)) ? 'another move' : 'no move';
  }

  #begin(): GatewayLife {
    this.#lives += 1;
    return new GatewayLife(this.#machine);
  }

  /** Ready, with nothing left undone of what the last gateway had begun. */
  async #isInOrder(life: GatewayLife): Promise<boolean> {
    if (!(await life.untilReady(READY_LIMIT_MS))) {
      if (life.hasExited) this.#fault(`not ready, it has ended: ${life.stray.slice(0, 12).join(' | ')}`);
      else this.#fault(`not ready${await this.#standing(life)}`);
      return false;
    }
    const deadlineMs = performance.now() + SETTLE_LIMIT_MS;
    for (;;) {
      const look = await this.#look();
      const faults = [
        ...orphans(look, this.#planted),
        ...leftovers(look, this.#planted),
        ...doubles(look, this.#planted),
        ...unfinished(this.#left, look),
      ];
      if (faults.length === 0 || performance.now() > deadlineMs || life.hasExited) {
        for (const fault of faults) this.#fault(fault);
        if (faults.length > 0 && !life.hasExited) this.#setup.print(await this.#standing(life));
        if (life.hasExited) this.#fault(`it ended by itself: ${life.stray.slice(-5).join(' | ')}`);
        for (const fault of lostEngines(this.#left, look.engines, life.moves)) this.#fault(fault);
        this.#aftermath = addAftermath(this.#aftermath, aftermath(this.#left, look));
        return !life.hasExited;
      }
      await pause(LOOK_PAUSE_MS);
    }
  }

  /** Resolves with the time of the first request since its start that was served whole; null at the limit. */
  #untilServed(life: GatewayLife): Promise<number | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), READY_LIMIT_MS + SERVED_LIMIT_MS);
      timer.unref();
      this.#crowd.onEntry(({ outcome, sentMs, endedMs }) => {
        if (outcome.kind !== 'complete' || sentMs < life.spawnedMs) return;
        clearTimeout(timer);
        resolve(endedMs);
      });
    });
  }

  async #hasServed(life: GatewayLife, served: Promise<number | null>): Promise<boolean> {
    const endedMs = await served;
    if (endedMs === null) {
      this.#fault(`no request was served${await this.#standing(life)}`);
      return false;
    }
    const adopted = life.lines.find(({ msg }) => / of an earlier gateway serve on$/.test(msg));
    this.#revivals.push({
      adopted: Number.parseInt(adopted?.msg ?? '0', 10),
      readyMs: life.readyMs - life.spawnedMs,
      servedMs: endedMs - life.spawnedMs,
    });
    return true;
  }

  /** What a life that does not get on is at, below its fault. */
  async #standing(life: GatewayLife): Promise<string> {
    const asked = this.#crowd.open;
    const told = [
      `asked for: ${asked.length === 0 ? 'nothing' : asked.join(', ')}`,
      ...(await standingOf(life.url)),
      ...life.lines
        // The questions of those who wait for `/ready` are many.
        .filter(({ msg }) => msg !== 'request own')
        .slice(-LINES_TOLD_MAX)
        .map(({ time, msg }) => `${time} ${msg}`),
      ...life.stray.slice(-LINES_TOLD_MAX),
    ];
    return told.map((line) => `\n    ${line}`).join('');
  }

  async #kill(life: GatewayLife): Promise<void> {
    const killedMs = performance.now();
    await life.kill();
    this.#outages.push({ killedMs, exitedMs: performance.now(), listeningMs: Number.POSITIVE_INFINITY });
    this.#listened(life);
    const left = await this.#postMortem();
    for (const fault of [
      ...orphans(left, this.#planted),
      ...doubles(left, this.#planted),
      ...lostEngines(this.#left, left.engines, life.moves),
    ])
      this.#fault(`${fault} (when it was killed)`);
    this.#left = left;
  }

  /** Ends the outages before this life's. */
  #listened(life: GatewayLife): void {
    for (const [at, outage] of this.#outages.entries()) {
      if (outage.killedMs < life.listeningMs && outage.listeningMs === Number.POSITIVE_INFINITY)
        this.#outages[at] = { ...outage, listeningMs: life.listeningMs };
    }
  }

  /** Everything serves and ends in good order. */
  async #lastLife(): Promise<void> {
    const life = this.#begin();
    const served = this.#untilServed(life);
    if (await this.#isInOrder(life)) await this.#hasServed(life, served);
    this.#listened(life);
    await this.#crowd.end();
    for (const { name } of STORM_MODELS) {
      const { outcome } = await this.#crowd.ask(name, 8, true);
      if (outcome.kind !== 'complete') this.#fault(`at the end ${name} answers ${JSON.stringify(outcome)}`);
    }
    const code = await life.stop(STOP_LIMIT_MS);
    if (code !== 0) this.#fault(`the last gateway ended with ${code}: ${life.stray.slice(-5).join(' | ')}`);
    const { engines, stored } = await this.#look();
    for (const { launchId, model } of engines) this.#fault(`left running: ${launchId} (${model})`);
    for (const { launchId, model } of stored) this.#fault(`left in the store: ${launchId} (${model})`);
    const left = [...remains(this.#machine.stateDirectory), ...(await this.#machine.engines.remains())];
    for (const remain of left) this.#fault(`left behind: ${remain}`);
    for (const fault of faultsOfClients(this.#crowd.entries, this.#outages, this.#crowd.sent))
      this.#fault(fault);
  }

  /** A second gateway on the same state must refuse, and name the first. */
  #tryRival(life: GatewayLife): void {
    const words = wordsOf({ ...this.#machine, port: 0 });
    const { status, stdout, stderr } = spawnSync(process.execPath, [LAUNCHER, ...words], {
      encoding: 'utf8',
      timeout: READY_LIMIT_MS,
    });
    if (status !== 0 && status !== null && `${stdout}${stderr}`.includes(String(life.pid)))
      this.#rivalsRefused += 1;
    else this.#fault(`a second gateway did not refuse, naming ${life.pid}: ${status} ${stdout}${stderr}`);
  }

  /** Engines first: whatever lives then was recorded before. */
  async #look(): Promise<Look> {
    const seen = await this.#machine.engines.source.look();
    const stored = readStoredLaunches(this.#machine.stateDirectory);
    for (const fault of this.#starts.see(seen.engines)) this.#fault(fault);
    return { ...seen, stored };
  }

  async #postMortem(): Promise<PostMortem> {
    const look = await this.#look();
    const words = await Promise.all(
      look.engines.map(
        async (engine): Promise<[string, EngineWord]> => [
          engine.launchId,
          await this.#machine.engines.source.ask(engine),
        ],
      ),
    );
    return { ...look, words: new Map(words) };
  }

  /** Looks between the deaths: what is seen twice in a row is no matter of two reads. */
  async #sample(): Promise<void> {
    let before: readonly string[] = [];
    while (!this.#isEnding) {
      const found = doubles(await this.#look(), this.#planted);
      for (const fault of found) if (before.includes(fault)) this.#fault(fault);
      before = found;
      await pause(SAMPLE_PAUSE_MS);
    }
  }

  #fault(text: string): void {
    const told = `life ${this.#lives}: ${text}`;
    if (this.#faults.includes(told) || this.#faults.length >= FAULTS_MAX) return;
    this.#faults.push(told);
    this.#setup.print(`  FAULT ${told}`);
  }

  #line(kill: number): string {
    const { adopted, resumedStarts, finishedStops, finishedSleeps, finishedWakes } = this.#aftermath;
    const served = this.#crowd.entries.filter(({ outcome }) => outcome.kind === 'complete').length;
    return `${kill} kills: ${adopted} adopted, ${resumedStarts} starts resumed, ${finishedStops} stops, ${finishedSleeps} sleeps and ${finishedWakes} wakes finished; ${served} of ${this.#crowd.entries.length} requests served; ${this.#faults.length} faults`;
  }

  result(): StormResult {
    const outcomes = new Map<string, number>();
    for (const { outcome } of this.#crowd.entries) {
      const name = outcome.kind === 'error' ? `error ${outcome.status} ${outcome.code}` : outcome.kind;
      outcomes.set(name, 1 + (outcomes.get(name) ?? 0));
    }
    const brokenStreams = this.#crowd.entries.filter(
      ({ isStream, begunMs, outcome }) => isStream && begunMs !== null && outcome.kind === 'broken',
    ).length;
    return {
      kills: this.#outages.length - 1,
      starts: this.#starts.starts,
      aftermath: this.#aftermath,
      plantedDebris: this.#planted.size,
      rivalsRefused: this.#rivalsRefused,
      revivals: this.#revivals,
      outcomes,
      brokenStreams,
      killedAt: this.#killedAt,
      faults: this.#faults,
    };
  }
}
