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
    if (edits < fewest && edits <= limit && edits < candidate.length) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}
