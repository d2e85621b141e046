/**
 * Deterministic language: the same prompt always gets the same answer, and an answer names its prompt (a number made of the
 * prompt's text), so that a test can tell whether a client got its own answer.
 */
import { createPrng } from '../../../core/prng.ts';

/** A rough count of what a byte-pair tokenizer makes of a text: words, short numbers, single signs. */
const PIECE = /\s?\p{L}{1,8}|\s?\d{1,3}|\s?[^\s\p{L}\d]|\s+/gu;

const WORDS = (
  'the river keeps its course while light moves over old stones and every morning brings another quiet answer ' +
  'from people who walk between trees where small birds learn how wind turns north before rain'
).split(' ');

export function splitPieces(text: string): string[] {
  return text.match(PIECE) ?? [];
}

export function countTokens(text: string): number {
  return splitPieces(text).length;
}

/** Eight hexadecimal digits of a prompt (FNV-1a): the first word of the answer to it. */
export function promptNumber(prompt: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < prompt.length; at++) {
    hash = Math.imul(hash ^ prompt.charCodeAt(at), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}

export interface AnswerRequest {
  readonly prompt: string;
  /** What `echo` gives back. */
  readonly lastUserText: string;
  readonly mode: 'words' | 'echo';
  /** Which of `n` samples. */
  readonly sample: number;
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  /** Length that the model itself would choose; null: by the prompt. */
  readonly naturalTokens: number | null;
}

export interface Answer {
  readonly pieces: readonly string[];
  readonly finish: 'stop' | 'length';
}

/** The tokens of an answer. An answer that ended by itself finishes with `stop`, one that was cut with `length`. */
export function composeAnswer(request: AnswerRequest): Answer {
  const number = promptNumber(request.prompt);
  const random = createPrng(Number.parseInt(number, 16) + request.sample * 7919);
  const own = request.mode === 'echo' ? splitPieces(request.lastUserText) : [number];
  const natural = request.naturalTokens ?? (request.mode === 'echo' ? own.length : 12 + random.integer(16));
  const wanted = Math.max(request.ignoreEos ? request.maxTokens : natural, request.minTokens, 1);
  const length = Math.min(wanted, request.maxTokens);
  const pieces = own.slice(0, length);
  while (pieces.length < length) {
    const word = WORDS[random.integer(WORDS.length)] ?? 'the';
    pieces.push(pieces.length === 0 ? word : ` ${word}`);
  }
  return { pieces, finish: wanted > request.maxTokens || request.ignoreEos ? 'length' : 'stop' };
}

/** Unit vector that depends on the text alone; similar in nothing else to a real embedding. */
export function embed(text: string, dimensions: number): number[] {
  const random = createPrng(Number.parseInt(promptNumber(text), 16));
  const vector = Array.from({ length: dimensions }, () => random.next() * 2 - 1);
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

/** Token ids for /tokenize and /detokenize: handed out in order of first sight, so that both agree in one process. */
export interface Vocabulary {
  encode(text: string): number[];
  decode(ids: readonly number[]): string;
  pieceOf(id: number): string;
}

/** Pieces remembered; later ones share one id, and decode to a mark. */
const VOCABULARY_MAX = 200_000;
const UNKNOWN_ID = 0;

export function createVocabulary(): Vocabulary {
  const ids = new Map<string, number>();
  const pieces: string[] = ['<unk>'];
  const idOf = (piece: string): number => {
    const known = ids.get(piece);
    if (known !== undefined) return known;
    if (pieces.length >= VOCABULARY_MAX) return UNKNOWN_ID;
    ids.set(piece, pieces.length);
    pieces.push(piece);
    return pieces.length - 1;
  };
  const pieceOf = (id: number): string => pieces[id] ?? '<unk>';
  return {
    encode: (text) => splitPieces(text).map(idOf),
    decode: (wanted) => wanted.map(pieceOf).join(''),
    pieceOf,
  };
}
