/** Options of the form `key=value,key=value`, as inputs are described on the command line. */
import { nearestOf } from '../config/nearest.ts';
import { InputFault } from './input-fault.ts';

interface NumberRange {
  /** Null: it must be given. */
  readonly otherwise: number | null;
  /** Where `above` is given, the number must be larger than it. */
  readonly least?: number;
  readonly above?: number;
  readonly most?: number;
  readonly whole?: boolean;
}

export class OptionWords {
  readonly #flag: string;
  readonly #values = new Map<string, string>();
  readonly #known = new Set<string>();

  /** @throws InputFault: a word is no `key=value`, or a key stands there twice. */
  constructor(flag: string, text: string) {
    this.#flag = flag;
    for (const word of text.split(',').map((part) => part.trim())) {
      if (word === '') continue;
      const equals = word.indexOf('=');
      if (equals < 1)
        throw this.fault(word, 'is no `key=value`', 'Separate words by commas, as in n=32,a=0.9');
      const key = word.slice(0, equals);
      if (this.#values.has(key)) throw this.fault(key, 'stands here twice', 'Give it once');
      this.#values.set(key, word.slice(equals + 1));
    }
  }

  /** @throws InputFault */
  number(key: string, { otherwise, least, above, most, whole = false }: NumberRange): number {
    const text = this.text(key);
    if (text === null) {
      if (otherwise === null) throw this.fault(key, 'is missing', `Add ${key}=NUMBER`);
      return otherwise;
    }
    const value = Number(text);
    const isWrong =
      text === '' ||
      !Number.isFinite(value) ||
      (whole && !Number.isInteger(value)) ||
      (least !== undefined && value < least) ||
      (above !== undefined && value <= above) ||
      (most !== undefined && value > most);
    if (!isWrong) return value;
    const limits = [
      ...(least === undefined ? [] : [`at least ${least}`]),
      ...(above === undefined ? [] : [`more than ${above}`]),
      ...(most === undefined ? [] : [`at most ${most}`]),
    ];
    const allowed = [whole ? 'a whole number' : 'a number', ...limits].join(', ');
    throw this.fault(key, `is ${JSON.stringify(text)}`, `Give ${allowed}`);
  }

  /** Null: it is not there. */
  text(key: string): string | null {
    this.#known.add(key);
    return this.#values.get(key) ?? null;
  }

  /** To be called when all keys were asked for. @throws InputFault: there is one that nobody asked for. */
  end(): void {
    for (const key of this.#values.keys()) {
      if (this.#known.has(key)) continue;
      const known = [...this.#known];
      const near = nearestOf(key, known);
      const remedy = near === null ? `Known are ${known.join(', ')}` : `Did you mean ${near}`;
      throw this.fault(key, 'is not known', remedy);
    }
  }

  fault(place: string, problem: string, remedy: string): InputFault {
    return new InputFault({ source: this.#flag, place, problem, remedy });
  }
}
