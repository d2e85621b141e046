/** What one client does with its connection: bytes in pieces, pauses, and how it goes. One seed, one script. */
import { createPrng, type Prng } from '../../src/core/prng.ts';
import { mutated } from './mutations.ts';
import { type Reading, readStrictly } from './strict-reader.ts';
import { validRequest } from './valid-request.ts';

/** `waits`: reads all answers; `half_closes`, `leaves`: does so once all is sent; `leaves_early`: before. */
export type Leaving = 'waits' | 'half_closes' | 'leaves' | 'leaves_early';

export interface Script {
  readonly index: number;
  readonly pieces: readonly string[];
  /** Between two pieces. */
  readonly pausesMs: readonly number[];
  readonly leaving: Leaving;
  /** Its requests are as they should be: each must be served. */
  readonly isValid: boolean;
  readonly requestCount: number;
  /** All bytes as a strict server reads them. */
  readonly reading: Reading;
}

const MUTATED_SHARE = 0.75;
const PIPELINED_MAX = 4;
const PIECES_MAX = 6;
const PAUSE_MS_MAX = 4;

export function scriptOf(seed: number, index: number): Script {
  const random = createPrng(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
  const isValid = random.next() >= MUTATED_SHARE;
  const requestCount = random.next() < 0.6 ? 1 : 1 + random.integer(PIPELINED_MAX);
  const requests = Array.from({ length: requestCount }, (_, number) =>
    validRequest(random, `${index}.${number}`),
  );
  if (!isValid) {
    const broken = random.integer(requestCount);
    requests[broken] = mutated(requests[broken] ?? '', random);
  }
  const bytes = requests.join('');
  const pieces = cut(bytes, random);
  const slow = random.next() < 0.2;
  return {
    index,
    pieces,
    pausesMs: pieces.map(() => (slow ? random.integer(PAUSE_MS_MAX) : 0)),
    leaving: leavingOf(random),
    isValid,
    requestCount,
    reading: readStrictly(bytes),
  };
}

function leavingOf(random: Prng): Leaving {
  const share = random.next();
  if (share < 0.8) return 'waits';
  if (share < 0.87) return 'half_closes';
  return share < 0.94 ? 'leaves' : 'leaves_early';
}

function cut(bytes: string, random: Prng): string[] {
  if (random.next() < 0.4) return [bytes];
  const places = Array.from({ length: random.integer(PIECES_MAX) }, () => random.integer(bytes.length + 1));
  const sorted = [0, ...places.sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, index) => bytes.slice(sorted[index], end));
}
