/**
 * Leaf values of the configuration. Each leaf has one text that says what it accepts; zod reports exactly that text, so a
 * fault and the documentation never disagree. Durations become milliseconds and sizes MiB here and nowhere else.
 */
import * as z from 'zod';
import { allowing } from './field.ts';

/** Timers of the platform overflow above 24.8 days and would fire at once; longer durations count as this. */
const TIMER_MAX_MS = 24 * 86_400_000;
const DURATION_MAX_MS = 3650 * 86_400_000;
const SIZE_MAX_MIB = 1024 ** 3;

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)$/;
const SIZE = /^(\d+(?:\.\d+)?)\s*(MiB|GiB|TiB)$/;
/** No flags: they would be lost in the JSON Schema. */
const BOOLEAN_WORD = /^(true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$/;
const MS_PER: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const MIB_PER: Readonly<Record<string, number>> = { MiB: 1, GiB: 1024, TiB: 1024 * 1024 };

export function integer(min: number, max: number) {
  const error = `an integer from ${min} to ${max}`;
  return allowing(z.int({ error }).min(min, { error }).max(max, { error }), error);
}

/** A number in `(above, max]`, or `[min, max]` when `inclusive`. */
export function fraction(min: number, max: number, inclusive = false) {
  const error = inclusive ? `a number from ${min} to ${max}` : `a number above ${min}, at most ${max}`;
  const number = z.number({ error }).max(max, { error });
  return allowing(inclusive ? number.min(min, { error }) : number.gt(min, { error }), error);
}

/** A length of time; milliseconds when parsed. With `zero`, 0 is allowed and means what the field says. */
export function duration(options: { readonly zero?: boolean } = {}) {
  const least = options.zero === true ? 'at least 0' : 'more than 0';
  const error = `seconds as a number (${least}), or text such as "500ms", "90s", "5m", "1h"`;
  const plain = z.number({ error }).min(0, { error });
  return allowing(
    z
      .union([plain, z.string({ error }).regex(DURATION, { error })], { error })
      .transform((value, context) => {
        const ms = typeof value === 'number' ? value * 1000 : measured(value, DURATION, MS_PER);
        if (ms > DURATION_MAX_MS || (ms < 1 && !(options.zero === true && ms === 0))) {
          context.issues.push({ code: 'custom', message: error, input: value });
          return z.NEVER;
        }
        return Math.min(Math.round(ms), TIMER_MAX_MS);
      }),
    error,
  );
}

/** An amount of memory; whole MiB when parsed, rounded up. With `zero`, 0 is allowed. */
export function size(options: { readonly zero?: boolean } = {}) {
  const zero = options.zero === true;
  const least = zero ? 'at least 0' : 'above 0';
  const error = `MiB as a number ${least}, or text such as "512MiB", "24GiB", "1.5TiB"`;
  const number = z.number({ error });
  const plain = zero ? number.min(0, { error }) : number.gt(0, { error });
  return allowing(
    z.union([plain, z.string({ error }).regex(SIZE, { error })], { error }).transform((value, context) => {
      const mib = typeof value === 'number' ? value : measured(value, SIZE, MIB_PER);
      if (mib < 0 || (mib === 0 && !zero) || mib > SIZE_MAX_MIB) {
        context.issues.push({ code: 'custom', message: error, input: value });
        return z.NEVER;
      }
      return Math.ceil(mib);
    }),
    error,
  );
}

function measured(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number {
  const [, amount, unit] = pattern.exec(text) ?? [];
  return Number(amount) * (units[unit ?? ''] ?? Number.NaN);
}

/** The original read its file with YAML 1.1, where `yes` and `on` are booleans too. */
export function flag() {
  const error = 'true or false';
  return allowing(
    z
      .union([z.boolean({ error }), z.string({ error }).regex(BOOLEAN_WORD, { error })], {
        error,
      })
      .transform((value) => value === true || (typeof value === 'string' && /^(true|yes|on)$/i.test(value))),
    error,
  );
}

export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  const error = `one of ${values.join(', ')}`;
  return allowing(z.enum(values, { error }), error);
}

export function text(allowed = 'text that is not empty') {
  return allowing(
    z.string({ error: allowed }).min(1, { error: allowed }).refine(withoutNul, { error: allowed }),
    allowed,
  );
}

/** The system's calls end a text at NUL, so a path or an argument with one would mean something else than it says. */
function withoutNul(value: string): boolean {
  return !value.includes('\0');
}

export function textMatching(pattern: RegExp, allowed: string) {
  return allowing(z.string({ error: allowed }).regex(pattern, { error: allowed }), allowed);
}

const IMAGE_REGISTRY = String.raw`(?:[a-zA-Z0-9][a-zA-Z0-9.-]*|\[[a-fA-F0-9:]+\])(?::\d+)?`;
const IMAGE_PART = String.raw`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`;
const IMAGE_END = String.raw`(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?`;
const IMAGE_NAME = new RegExp(`^(?:${IMAGE_REGISTRY}/)?${IMAGE_PART}(?:/${IMAGE_PART})*${IMAGE_END}$`);

/**
 * The name of an image as Docker takes it (the grammar of github.com/distribution/reference): perhaps a registry, a path in
 * small letters, perhaps a tag and a digest.
 */
export function imageName() {
  return textMatching(
    IMAGE_NAME,
    'the name of an image, such as `vllm/vllm-openai:v0.32.0`, in small letters',
  );
}

/** argv-like lists: numbers are taken as text, because YAML reads `- 8192` as one. */
export function wordList(options: { readonly least: number }) {
  const item = 'text or a number';
  const error = options.least > 0 ? 'a list of text that is not empty' : 'a list of text';
  const word = z
    .union([z.string().refine(withoutNul, { error: item }), z.number()], { error: item })
    .transform((value) => String(value));
  return allowing(z.array(word, { error }).min(options.least, { error }), error);
}

/** Lists of texts that `item` takes; may be empty. */
export function wordListOf(item: ReturnType<typeof textMatching>) {
  const error = 'a list of text';
  return allowing(z.array(item, { error }), error);
}

/** Mappings of text to text, such as environments and headers; numbers and booleans are taken as text. */
export function wordMap(keyPattern: RegExp, keyAllowed: string, valuePattern?: RegExp) {
  const item =
    valuePattern === undefined ? 'text, a number or a boolean' : 'text on one line, a number or a boolean';
  const word = z.string({ error: item }).refine(withoutNul, { error: item });
  const text = valuePattern === undefined ? word : word.regex(valuePattern, { error: item });
  const value = z.union([text, z.number(), z.boolean()], { error: item }).transform((given) => String(given));
  const error = `a mapping from ${keyAllowed} to text`;
  const key = z.string().regex(keyPattern, { error: keyAllowed });
  return allowing(z.record(key, value, { error }), error);
}

export function jsonObject() {
  const error = 'a mapping';
  return allowing(z.record(z.string(), z.unknown(), { error }), error);
}
