/** The known word that a misspelt one probably means. */
import { distance } from 'fastest-levenshtein';

/** Longer words are not compared: the work grows with the product of the lengths. */
const WORD_CHARS_MAX = 256;

/** Null when nothing is near: a far-fetched proposal misleads more than none. */
export function nearestOf(word: string, known: readonly string[]): string | null {
  if (word.length > WORD_CHARS_MAX) return null;
  let best: string | null = null;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase());
    const limit = Math.max(2, Math.floor(Math.max(word.length, candidate.length) / 3));
    const near = (edits <= limit && edits < candidate.length) || isShortened(word, candidate);
    if (near && edits < fewest) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}

/** `gpu_mem_util` shortens `gpu_memory_utilization`: its letters stand there in order, and are at least half of them. */
function isShortened(word: string, candidate: string): boolean {
  if (word[0] !== candidate[0] || word.length * 2 < candidate.length) return false;
  let at = 0;
  for (const letter of candidate) {
    if (letter === word[at]) at += 1;
  }
  return at === word.length;
}
