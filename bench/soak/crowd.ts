/** Closed-loop clients: each asks something random, waits for the end, notes it in the clients' book, and asks again. */
import { Agent } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { createPrng, type Prng } from '../../src/core/prng.ts';
import { type Ask, type Ending, type Entry, requestId } from './ask.ts';
import { randomAsk, retrieve } from './asks.ts';
import { sendHttp } from './http-client.ts';
import { openSocket } from './socket-client.ts';

const THINKS_MS = 150;
/** A background response is asked for so often at most; its client then forgets it, as clients do. */
const QUESTIONS_MAX = 8;
const QUESTION_PAUSE_MS = 150;
const CONNECTIONS_KEPT_MAX = 16;

export interface CrowdSetup {
  readonly url: string;
  readonly clients: number;
  readonly seed: number;
  readonly untilMs: number;
}

export class Crowd {
  readonly entries: Entry[] = [];
  readonly #setup: CrowdSetup;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: CONNECTIONS_KEPT_MAX });
  #sent = 0;

  constructor(setup: CrowdSetup) {
    this.#setup = setup;
  }

  /** Numbers that were given out. */
  get sent(): number {
    return this.#sent;
  }

  /** Resolves when the time is over and all that were sent have ended. */
  async run(): Promise<void> {
    const { clients, seed } = this.#setup;
    await Promise.all(
      Array.from({ length: clients }, (_, index) => this.#loop(createPrng(seed * 1_000 + index))),
    );
    this.#agent.destroy();
  }

  async #loop(random: Prng): Promise<void> {
    while (performance.now() < this.#setup.untilMs) {
      const ask = randomAsk(this.#number(), random);
      const ending = await this.#send(ask);
      if (ask.kind === 'background' && ending.kind === 'answered') await this.#follow(ending.text);
      await pause(random.integer(THINKS_MS));
    }
  }

  async #follow(created: string): Promise<void> {
    const { id } = JSON.parse(created) as { readonly id: string };
    for (let count = 0; count < QUESTIONS_MAX; count += 1) {
      const ending = await this.#send(retrieve(this.#number(), id));
      if (ending.kind !== 'answered' || !/"status":"(queued|in_progress)"/.test(ending.text)) return;
      await pause(QUESTION_PAUSE_MS);
    }
  }

  #number(): number {
    this.#sent += 1;
    return this.#sent;
  }

  async #send(ask: Ask): Promise<Ending> {
    const { url, seed } = this.#setup;
    const { number, kind, by } = ask;
    const id = requestId(seed, number);
    const ending =
      ask.transport === 'http' ? await sendHttp(url, this.#agent, ask, id) : await openSocket(url, ask, id);
    // The texts of all answers would outweigh everything else in memory.
    this.entries.push({ number, id, kind, by, ending: 'text' in ending ? { ...ending, text: '' } : ending });
    return ending;
  }
}
