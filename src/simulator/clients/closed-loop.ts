/**
 * Clients who ask, get their answer, think, and ask again, as `--closed` names them: groups separated by `;`, each like
 * `model=a+b,clients=4,think_s=1,prompt=500,output=100,hours=1`.
 */
import type { Prng } from '../../core/prng.ts';
import { exponential, streamPrng } from '../generators/gamma.ts';
import type { DrawLengths, RequestLengths } from '../generators/lengths.ts';
import { OptionWords } from '../option-words.ts';
import type { RequestEnd, RequestSource, RequestStream, SimulatedRequest } from '../request-source.ts';

const FLAG = '--closed';
const MS_PER_S = 1000;
const MS_PER_H = 3_600_000;
const CLIENTS_MAX = 1_000_000;
/** Streams of random numbers of the clients count from here. */
const CLIENTS_STREAM = 5_000_000;
/** Whoever got no answer asks again no sooner than this. */
const RETRY_MS = 1000;

interface ClientGroup {
  /** Each request is for one of them, by chance. */
  readonly models: readonly string[];
  readonly clients: number;
  readonly thinkMs: number;
  /** Fixed thinking takes always `thinkMs`, other thinking is exponential around it. */
  readonly isFixed: boolean;
  readonly draw: DrawLengths;
  /** Each client asks at most so often, and not at or after `endMs`. */
  readonly requests: number;
  readonly endMs: number;
}

/** @throws InputFault */
export function closedLoop(text: string, seed: number, drawLengths: DrawLengths): RequestSource {
  const groups = text.split(';').map((part) => readGroup(part, drawLengths));
  const models = [...new Set(groups.flatMap((group) => group.models))];
  return { models, open: () => new ClosedLoopStream(groups, seed) };
}

function readGroup(text: string, drawLengths: DrawLengths): ClientGroup {
  const words = new OptionWords(FLAG, text);
  const models = (words.text('model') ?? '').split('+').filter((name) => name !== '');
  if (models.length === 0) throw words.fault('model', 'is missing', 'Add model=NAME, or model=NAME+NAME');
  const clients = words.number('clients', { otherwise: 1, least: 1, most: CLIENTS_MAX, whole: true });
  const thinkMs = words.number('think_s', { otherwise: 1, least: 0 }) * MS_PER_S;
  const think = words.text('think') ?? 'exponential';
  if (think !== 'exponential' && think !== 'fixed')
    throw words.fault('think', `is ${JSON.stringify(think)}`, 'Give exponential or fixed');
  const length = (key: string) => words.number(key, { otherwise: -1, least: 0, whole: true });
  const draw = lengthsOf(length('prompt'), length('output'), drawLengths);
  const requests = words.number('requests', { otherwise: Number.MAX_SAFE_INTEGER, least: 1, whole: true });
  const endMs = words.number('hours', { otherwise: 1, above: 0 }) * MS_PER_H;
  words.end();
  return { models, clients, thinkMs, isFixed: think === 'fixed', draw, requests, endMs };
}

/** What is below 0 was not given, and is drawn. */
function lengthsOf(prompt: number, output: number, drawLengths: DrawLengths): DrawLengths {
  return (prng) => {
    const drawn: RequestLengths =
      prompt < 0 || output < 0 ? drawLengths(prng) : { promptTokens: 0, outputTokens: 0 };
    return {
      promptTokens: prompt < 0 ? drawn.promptTokens : prompt,
      outputTokens: output < 0 ? drawn.outputTokens : output,
    };
  };
}

class ClosedLoopStream implements RequestStream {
  /** What comes first, the latest in front. */
  readonly #first: SimulatedRequest[];
  readonly #clients = new Map<SimulatedRequest, Client>();

  constructor(groups: readonly ClientGroup[], seed: number) {
    const clients = groups.flatMap((group) => Array.from({ length: group.clients }, () => group));
    this.#first = clients
      .flatMap((group, index) => this.#ask(new Client(group, streamPrng(seed, CLIENTS_STREAM + index)), 0))
      .sort((a, b) => b.atMs - a.atMs);
  }

  next(): SimulatedRequest | null {
    return this.#first.pop() ?? null;
  }

  ended(request: SimulatedRequest, end: RequestEnd, atMs: number): SimulatedRequest | null {
    const client = this.#clients.get(request);
    if (client === undefined) return null;
    this.#clients.delete(request);
    return this.#ask(client, end === 'answered' ? atMs : atMs + RETRY_MS)[0] ?? null;
  }

  close(): void {
    this.#clients.clear();
  }

  #ask(client: Client, fromMs: number): readonly SimulatedRequest[] {
    const request = client.ask(fromMs);
    if (request === null) return [];
    this.#clients.set(request, client);
    return [request];
  }
}

class Client {
  readonly #group: ClientGroup;
  readonly #prng: Prng;
  #asked = 0;

  constructor(group: ClientGroup, prng: Prng) {
    this.#group = group;
    this.#prng = prng;
  }

  /** Null: it has asked for the last time. */
  ask(fromMs: number): SimulatedRequest | null {
    const { models, requests, endMs, draw } = this.#group;
    const atMs = fromMs + this.#thinkMs();
    if (this.#asked >= requests || atMs >= endMs) return null;
    this.#asked += 1;
    return { atMs, model: models[this.#prng.integer(models.length)] ?? '', ...draw(this.#prng) };
  }

  /** The first time is anywhere in a time of thinking, so that clients do not march in step. */
  #thinkMs(): number {
    const { thinkMs, isFixed } = this.#group;
    if (this.#asked === 0) return thinkMs * this.#prng.next();
    return isFixed ? thinkMs : thinkMs * exponential(this.#prng);
  }
}
