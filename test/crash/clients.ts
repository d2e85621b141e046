/** Closed-loop clients of a gateway that dies again and again: each asks, waits for the end, notes it, and asks again. */
import { request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { createPrng, type Prng } from '../../src/core/prng.ts';
import { ANSWER_LIMIT_MS, type Entry, type Exchange, judge } from './client-ledger.ts';

/** While nobody listens. */
const REFUSED_PAUSE_MS = 25;
/** An honest refusal is not asked again at once. */
const ERROR_PAUSE_MS = 100;
const STREAM_SHARE = 0.6;
const TOKENS_MAX = 60;
/** A stream of some seconds, so that some are always under way. */
const LONG_TOKENS = 500;
const LONG_SHARE = 0.15;

export interface CrowdSetup {
  readonly url: string;
  readonly models: readonly string[];
  readonly clients: number;
  readonly seed: number;
}

export class Crowd {
  readonly entries: Entry[] = [];
  readonly #setup: CrowdSetup;
  readonly #waiters: ((entry: Entry) => void)[] = [];
  readonly #ended: Promise<unknown>;
  /** By number: what is asked and not answered. */
  readonly #open = new Map<number, { readonly model: string; readonly sentMs: number }>();
  #sent = 0;
  #isEnding = false;

  /** Begins at once. */
  constructor(setup: CrowdSetup) {
    this.#setup = setup;
    const loops = Array.from({ length: setup.clients }, (_, index) =>
      this.#loop(createPrng(setup.seed * 1_000 + index)),
    );
    this.#ended = Promise.all(loops);
  }

  get sent(): number {
    return this.#sent;
  }

  /** What waits for an answer, in words. */
  get open(): readonly string[] {
    return [...this.#open.values()].map(
      ({ model, sentMs }) => `${model} for ${((performance.now() - sentMs) / 1_000).toFixed(1)} s`,
    );
  }

  /** Told of each end; may not throw. */
  onEntry(listener: (entry: Entry) => void): void {
    this.#waiters.push(listener);
  }

  /** Sends no more, and resolves when all that were sent have ended. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#ended;
  }

  /** One request beside the loops, in the same book. */
  async ask(model: string, tokens: number, isStream: boolean): Promise<Entry> {
    this.#sent += 1;
    const number = this.#sent;
    const sentMs = performance.now();
    this.#open.set(number, { model, sentMs });
    const { exchange, begunMs } = await send(this.#setup.url, model, tokens, isStream);
    this.#open.delete(number);
    const endedMs = performance.now();
    const entry = { number, model, isStream, sentMs, begunMs, endedMs, outcome: judge(exchange) };
    this.entries.push(entry);
    for (const told of this.#waiters) told(entry);
    return entry;
  }

  async #loop(random: Prng): Promise<void> {
    const { models } = this.#setup;
    while (!this.#isEnding) {
      const model = models[random.integer(models.length)] ?? '';
      const isLong = random.next() < LONG_SHARE;
      const tokens = isLong ? LONG_TOKENS : 1 + random.integer(TOKENS_MAX);
      const { outcome } = await this.ask(model, tokens, isLong || random.next() < STREAM_SHARE);
      if (outcome.kind === 'refused' || outcome.kind === 'broken') await pause(REFUSED_PAUSE_MS);
      else if (outcome.kind === 'error') await pause(ERROR_PAUSE_MS);
    }
  }
}

function send(
  url: string,
  model: string,
  tokens: number,
  isStream: boolean,
): Promise<{ readonly exchange: Exchange; readonly begunMs: number | null }> {
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: 'Hello' }],
    max_tokens: tokens,
    ignore_eos: true,
    stream: isStream,
  });
  return new Promise((resolve) => {
    let text = '';
    let status: number | null = null;
    let begunMs: number | null = null;
    const end = (isCleanEnd: boolean, fault: string | null): void => {
      clearTimeout(timer);
      resolve({ exchange: { isStream, tokens, status, text, isCleanEnd, fault }, begunMs });
    };
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    // A connection of its own: one that was kept may belong to a gateway that is dead.
    const options = { method: 'POST', agent: false as const, headers };
    const sent = request(`${url}/v1/chat/completions`, options, (answer) => {
      status = answer.statusCode ?? null;
      answer.setEncoding('utf8').on('data', (part: string) => {
        begunMs ??= performance.now();
        text += part;
      });
      answer.once('error', (error) => end(false, codeOf(error)));
      answer.once('end', () => end(answer.complete, null));
    });
    const timer = setTimeout(() => {
      end(false, 'UNANSWERED');
      sent.destroy();
    }, ANSWER_LIMIT_MS);
    sent.on('error', (error) => end(false, codeOf(error)));
    sent.end(body);
  });
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
