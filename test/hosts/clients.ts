/**
 * Clients of a simulated host: popularity is skewed, requests come in bursts for one model, some answers are streams, and
 * some clients leave before they are answered.
 */

import { Agent, request } from 'node:http';
import { createPrng, type Prng } from '../../src/core/prng.ts';
import { popular } from '../fixtures/popularity.ts';

/** Longer than any wait that the run may have. */
const ANSWER_LIMIT_MS = 240_000;
const BURST_MAX = 24;
const STREAM_SHARE = 0.15;
const LEAVER_SHARE = 0.04;
const LEAVES_WITHIN_MS = 1_500;
/** Exponent of Zipf's law. */
const SKEW = 1;

export interface Crowd {
  readonly url: string;
  readonly models: readonly string[];
  readonly requests: number;
  /** Bursts on the way at once. */
  readonly bursts: number;
  readonly seed: number;
  /** Told after each request. */
  readonly progress?: (ended: number) => void;
}

export interface CrowdResult {
  readonly sent: number;
  readonly answered: number;
  readonly left: number;
  /** Whatever was neither answered nor left, in words, each once. */
  readonly faults: readonly string[];
  readonly longestWaitMs: number;
  readonly tookMs: number;
}

type Outcome =
  | { readonly kind: 'answered' }
  | { readonly kind: 'left' }
  | { readonly kind: 'fault'; readonly text: string };

/** Sends them all. Never rejects for what the gateway does. */
export async function sendCrowd(crowd: Crowd): Promise<CrowdResult> {
  const random = createPrng(crowd.seed);
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 64 });
  const startedMs = performance.now();
  /** How often each was met: a start that fails takes all that wait for it along. */
  const faults = new Map<string, number>();
  let begun = 0;
  let ended = 0;
  let answered = 0;
  let left = 0;
  let longestWaitMs = 0;
  const one = async (model: string): Promise<void> => {
    const sentMs = performance.now();
    const outcome = await sendOne(crowd.url, agent, model, random);
    if (outcome.kind === 'answered') {
      answered += 1;
      longestWaitMs = Math.max(longestWaitMs, performance.now() - sentMs);
    } else if (outcome.kind === 'left') left += 1;
    else faults.set(`${model}: ${outcome.text}`, 1 + (faults.get(`${model}: ${outcome.text}`) ?? 0));
    ended += 1;
    crowd.progress?.(ended);
  };
  const visitor = async (): Promise<void> => {
    while (begun < crowd.requests) {
      const size = Math.min(crowd.requests - begun, 1 + random.integer(BURST_MAX));
      begun += size;
      const model = popular(crowd.models, random, SKEW);
      await Promise.all(Array.from({ length: size }, () => one(model)));
    }
  };
  await Promise.all(Array.from({ length: crowd.bursts }, visitor));
  agent.destroy();
  const told = [...faults].map(([text, count]) => `${count} x ${text}`);
  return { sent: ended, answered, left, faults: told, longestWaitMs, tookMs: performance.now() - startedMs };
}

function sendOne(url: string, agent: Agent, model: string, random: Prng): Promise<Outcome> {
  const isEmbedding = model.endsWith('-embed');
  const isStream = !isEmbedding && random.next() < STREAM_SHARE;
  const leavesAfterMs = random.next() < LEAVER_SHARE ? random.integer(LEAVES_WITHIN_MS) : null;
  const body = JSON.stringify(
    isEmbedding
      ? { model, input: 'a few words' }
      : {
          model,
          messages: [{ role: 'user', content: `Say ${random.integer(1000)}` }],
          max_tokens: 1 + random.integer(8),
          stream: isStream,
        },
  );
  const path = isEmbedding ? '/v1/embeddings' : '/v1/chat/completions';
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const sent = request(
      `${url}${path}`,
      { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        answer.once('error', (error) => end(broken(error)));
        answer.once('end', () => end(judged(answer.statusCode ?? 0, text, isStream)));
      },
    );
    const broken = (error: Error): Outcome =>
      leaves ? { kind: 'left' } : { kind: 'fault', text: `broken: ${error.message}` };
    let leaves = false;
    timer = setTimeout(() => {
      leaves = leavesAfterMs !== null;
      sent.destroy(new Error('not answered in time'));
    }, leavesAfterMs ?? ANSWER_LIMIT_MS);
    sent.once('error', (error) => end(broken(error)));
    sent.end(body);
  });
}

function judged(status: number, text: string, isStream: boolean): Outcome {
  if (status !== 200) return { kind: 'fault', text: `${status}: ${text.slice(0, 300)}` };
  if (isStream && !text.endsWith('data: [DONE]\n\n'))
    return { kind: 'fault', text: 'a stream that broke off' };
  return { kind: 'answered' };
}
