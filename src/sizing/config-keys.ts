/**
 * Reads keys of a config.json and remembers which were missing, so that a model that cannot be sized is told about once,
 * with everything that it lacks, instead of a key at a time.
 */

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export class ConfigKeys {
  readonly #layers: readonly JsonObject[];
  readonly #where: string;
  readonly #missing: string[];

  /**
   * `layers`: objects that are looked through in order, such as the configuration and the defaults of its kind.
   * `where`: how a missing key is told about, such as `text_config.`. `missing` collects faults of several readers.
   */
  constructor(layers: readonly JsonObject[], where: string, missing: string[]) {
    this.#layers = layers;
    this.#where = where;
    this.#missing = missing;
  }

  /** The first of `names` that has a value other than null. */
  value(...names: readonly string[]): unknown {
    for (const layer of this.#layers) {
      for (const name of names) {
        const value = layer[name];
        if (value !== undefined && value !== null) return value;
      }
    }
    return undefined;
  }

  /** A positive whole number or zero, or undefined. What has another type counts as missing. */
  optionalNumber(...names: readonly string[]): number | undefined {
    const value = this.value(...names);
    return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
  }

  /** A number that sizing cannot do without; 1 where it is missing, which is then noted. */
  number(...names: readonly string[]): number {
    const value = this.optionalNumber(...names);
    if (value !== undefined && value > 0) return value;
    this.lack(`\`${this.#where}${names[0] ?? ''}\` is missing or no positive number`);
    return 1;
  }

  text(...names: readonly string[]): string | undefined {
    const value = this.value(...names);
    return typeof value === 'string' ? value : undefined;
  }

  flag(name: string): boolean | undefined {
    const value = this.value(name);
    return typeof value === 'boolean' ? value : undefined;
  }

  /** The list of that name; empty where there is none. */
  list(...names: readonly string[]): readonly unknown[] {
    const value = this.value(...names);
    return Array.isArray(value) ? value : [];
  }

  numbers(name: string): readonly number[] {
    return this.list(name).filter((value) => typeof value === 'number');
  }

  object(name: string): JsonObject | undefined {
    const value = this.value(name);
    return isObject(value) ? value : undefined;
  }

  /** Notes that something is missing or not understood. */
  lack(what: string): void {
    if (!this.#missing.includes(what)) this.#missing.push(what);
  }
}
