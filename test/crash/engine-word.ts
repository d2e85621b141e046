/** Asks an engine what it does, at its own socket and past any gateway. */
import { request } from 'node:http';
import type { EngineWord, LivingEngine } from './engine-census.ts';

/** A healthy engine answers in a few milliseconds, on a busy machine in some hundred. */
const WORD_LIMIT_MS = 3_000;

export async function wordOf({ socketPath }: LivingEngine): Promise<EngineWord> {
  if (socketPath === null || (await ask(socketPath, '/health')) === null) return 'silent';
  const answer = await ask(socketPath, '/is_sleeping');
  // Without development routes it has no such route, and cannot sleep.
  return answer?.includes('true') ? 'asleep' : 'awake';
}

/** The word that follows a flag in a command line; null where the flag is not there. */
export function wordAfter(words: readonly string[], flag: string): string | null {
  const at = words.indexOf(flag);
  return at < 0 ? null : (words[at + 1] ?? null);
}

/** The body of a 200, else null. */
function ask(socketPath: string, path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path, timeout: WORD_LIMIT_MS, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.once('end', () => resolve(answer.statusCode === 200 ? text : null));
      answer.once('error', () => resolve(null));
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(null));
    asked.end();
  });
}
