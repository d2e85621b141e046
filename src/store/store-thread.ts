/**
 * The store's thread as the main one sees it: jobs go in, answers come back, and nobody waits in between.
 *
 *  T1. Started at the first job and ended when none comes for a while, for it costs some 12 MiB. It never keeps the process
 *      from ending once no job is under way.
 *  T2. Jobs are done in the order in which they were given, also across a crash.
 *  T3. A thread that dies is started again a bounded number of times. Changes that it may not have made are made again (they
 *      replace what they write, so twice is as good as once); a batch of activity is given up, which its log counts.
 *  T4. `run` never rejects, and answers within a bounded time also when the disk hangs.
 */
import nodeModule from 'node:module';
import { Worker } from 'node:worker_threads';
import type { StoreAnswer, StoreJob, StoreMessage, StoreReply } from './store-jobs.ts';

/** Deaths in a row, each within `STEADY_MS` of its start, after which nothing is tried any more. */
const RESTARTS_MAX = 5;
const STEADY_MS = 10 * 60_000;
/** Times that one change is given to a thread: one that kills every thread shall not do so for ever. */
const ATTEMPTS_MAX = 2;
/** Jobs that wait at once. */
const JOBS_MAX = 1_024;
/** A disk that hangs for longer counts as failed. */
const JOB_LIMIT_MS = 30_000;
/** A gateway at rest has no thread; starting one takes some 30 ms, which nobody waits for but the launch of an engine. */
const IDLE_MS = 8_000;
/** For the last jobs and the closing of the files. */
const CLOSE_LIMIT_MS = 10_000;
/** Its heap holds one batch at a time. Beyond this it dies and is started anew. */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 } as const;

/** Compiled for publishing, source in a checkout: as this file itself. */
const THREAD_FILE = new URL(
  `./store-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`,
  import.meta.url,
);

interface Waiting {
  readonly job: StoreJob;
  readonly settle: (answer: StoreAnswer) => void;
  readonly limit: NodeJS.Timeout;
  attempts: number;
  /** It was answered for want of time; only its order still counts. */
  isOver: boolean;
}

export interface StoreThreadOptions {
  /** Told of deaths of the thread, in a sentence, once for each kind. */
  readonly onFault: (text: string) => void;
  /** Another program, for tests. */
  readonly file?: URL;
  /** Shorter, for tests. */
  readonly idleMs?: number;
  /** Shorter, for tests. */
  readonly jobLimitMs?: number;
}

export class StoreThread {
  readonly #onFault: (text: string) => void;
  readonly #file: URL;
  readonly #idleMs: number;
  readonly #jobLimitMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | null = null;
  #startedMs = 0;
  #deaths = 0;
  #nextId = 1;
  #isTold = false;
  /** Why nothing is taken any more; null: it is. */
  #refusal: string | null = null;
  #onIdle: (() => void) | null = null;
  #idle: NodeJS.Timeout | null = null;
  /** Ends of threads that were sent away. */
  #retired: Promise<void> = Promise.resolve();

  constructor(options: StoreThreadOptions) {
    this.#onFault = options.onFault;
    this.#file = options.file ?? THREAD_FILE;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#jobLimitMs = options.jobLimitMs ?? JOB_LIMIT_MS;
  }

  run(job: StoreJob): Promise<StoreAnswer> {
    const refusal = this.#refusal ?? (this.#waiting.size < JOBS_MAX ? null : 'too many writes wait already');
    if (refusal !== null) return Promise.resolve({ ok: false, text: refusal, failure: 'disk' });
    return new Promise((settle) => {
      const id = this.#nextId++;
      const limit = setTimeout(() => this.#giveUp(id), this.#jobLimitMs);
      limit.unref();
      this.#waiting.set(id, { job, settle, limit, attempts: 1, isOver: false });
      this.#post({ id, job });
    });
  }

  /** Waits for all jobs given so far, then ends the thread. A disk that hangs is left behind. */
  async close(): Promise<void> {
    const isClosed = this.#refusal !== null && this.#thread === null;
    this.#refusal ??= 'the store is closed';
    if (isClosed) return;
    const isQuiet = await withinMs(CLOSE_LIMIT_MS, (done) => {
      if (this.#waiting.size === 0) done();
      else this.#onIdle = done;
    });
    const thread = this.#thread;
    if (isQuiet) this.#retire();
    const isEnded = isQuiet && (await withinMs(CLOSE_LIMIT_MS, (done) => void this.#retired.then(done)));
    if (!isEnded && thread !== null)
      await withinMs(CLOSE_LIMIT_MS, (done) => void thread.terminate().then(done, done));
  }

  /** It closes its files and ends by itself; the next job has another one. */
  #retire(): void {
    const thread = this.#thread;
    if (thread === null) return;
    this.#thread = null;
    const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    this.#retired = Promise.all([this.#retired, ended]).then(() => undefined);
    thread.postMessage('close' satisfies StoreMessage);
  }

  #post(message: Exclude<StoreMessage, 'close'>): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
    this.#thread ??= this.#start();
    this.#thread.ref();
    this.#thread.postMessage(message);
  }

  #start(): Worker {
    // Without it the thread would compile anew at every start, and in a checkout load the compiler for that.
    const compileCache = nodeModule.getCompileCacheDir?.();
    const thread = new Worker(this.#file, {
      name: 'store',
      // None of ours: they hold secrets, and the thread needs none.
      env: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache },
      // Node 22 announces SQLite and type stripping as experiments; the versions that we admit run both.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: HEAP_LIMITS,
    });
    this.#startedMs = performance.now();
    let why = 'it ended';
    thread.on('message', ({ id, answer }: StoreReply) => this.#settle(id, answer));
    thread.on('error', (error) => {
      why = error instanceof Error ? error.message : String(error);
    });
    thread.on('exit', () => {
      if (this.#thread === thread) this.#ended(why);
    });
    return thread;
  }

  #settle(id: number, answer: StoreAnswer): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.limit);
    if (!waiting.isOver) waiting.settle(answer);
    if (this.#waiting.size > 0) return;
    this.#thread?.unref();
    this.#idle = setTimeout(() => this.#retire(), this.#idleMs);
    this.#idle.unref();
    this.#onIdle?.();
  }

  #giveUp(id: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    waiting.isOver = true;
    waiting.settle({ ok: false, text: `no answer within ${this.#jobLimitMs / 1000} s`, failure: 'lost' });
    if ([...this.#waiting.values()].every(({ isOver }) => isOver)) this.#thread?.unref();
  }

  /** T3. */
  #ended(why: string): void {
    this.#thread = null;
    this.#deaths = performance.now() - this.#startedMs > STEADY_MS ? 1 : this.#deaths + 1;
    const lost = [...this.#waiting];
    const isLast = this.#deaths > RESTARTS_MAX;
    if (isLast) this.#refusal ??= `its thread died too often: ${why}`;
    this.#tell(why, isLast);
    for (const [id, waiting] of lost) {
      if (isLast || waiting.isOver || waiting.job.kind !== 'change' || waiting.attempts >= ATTEMPTS_MAX)
        this.#settle(id, { ok: false, text: `the store's thread died: ${why}`, failure: 'lost' });
      else {
        waiting.attempts += 1;
        this.#post({ id, job: waiting.job });
      }
    }
  }

  #tell(why: string, isLast: boolean): void {
    if (this.#isTold && !isLast) return;
    this.#isTold = true;
    const next = isLast
      ? 'too often, so nothing is kept there any more until the next start'
      : 'and is started again';
    this.#onFault(`the store's thread died (${why}) ${next}`);
  }
}

/** Whether `begin` called back in time. */
function withinMs(limitMs: number, begin: (done: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), limitMs);
    begin(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
