/**
 * What a configuration field says of itself. The schema is the one source: the JSON Schema, docs/configuration.md and the
 * built-in defaults are all read from here, so that none of them can drift.
 */
import * as z from 'zod';

// Each schema parses once or twice in a process's life: compiling parsers for them costs more than it saves.
z.config({ jitless: true });

interface FieldInfo {
  /** What the field does, in sentences. */
  readonly effect: string;
  /** Built-in default in the notation of the file; absent where there is none. */
  readonly default?: unknown;
  /** Says what holds when the field is absent and no plain value can tell. */
  readonly otherwise?: string;
  /** Unit of a plain number. */
  readonly unit?: string;
  /** What can go wrong. */
  readonly danger?: string;
  /** Variables of the original's environment that set it, weakest last. */
  readonly environment?: readonly string[];
  /** Command line option that sets it. */
  readonly flag?: string;
}

export interface DocumentedField extends FieldInfo {
  /** What a value may be, as in the message of a fault. */
  readonly allowed: string;
}

const fields = new WeakMap<z.core.$ZodType, DocumentedField>();
const allowedTexts = new WeakMap<z.core.$ZodType, string>();

/** Notes what a leaf accepts, for the documentation; the same text is the message of its faults. */
export function allowing<S extends z.ZodType>(schema: S, allowed: string): S {
  allowedTexts.set(schema, allowed);
  return schema;
}

/** The text noted by `allowing`. */
function allowedBy(schema: z.core.$ZodType): string {
  return allowedTexts.get(schema) ?? '';
}

/** An optional, documented key of a section. */
export function field<S extends z.ZodType>(schema: S, info: FieldInfo): z.ZodOptional<S> {
  return documented(schema.optional(), allowedBy(schema), info);
}

/** A documented key that must be there. */
export function requiredField<S extends z.ZodType>(schema: S, info: FieldInfo): S {
  return documented(schema, allowedBy(schema), info);
}

function documented<S extends z.ZodType>(schema: S, allowed: string, info: FieldInfo): S {
  const meta = {
    description: describe(info),
    ...(info.default === undefined ? {} : { default: info.default }),
  };
  const described = schema.meta(meta);
  fields.set(described, { ...info, allowed });
  return described;
}

/** The documentation of a key, or null for schemas that `field` did not make. */
export function fieldOf(schema: z.core.$ZodType): DocumentedField | null {
  return fields.get(schema) ?? null;
}

function describe(info: FieldInfo): string {
  const parts = [info.effect];
  if (info.otherwise !== undefined) parts.push(`Default: ${info.otherwise}.`);
  if (info.unit !== undefined) parts.push(`Unit: ${info.unit}.`);
  if (info.danger !== undefined) parts.push(`Danger: ${info.danger}`);
  return parts.join(' ');
}

/**
 * The built-in values of a section, parsed by the section's own schema on the first call. Every key of `schema` must have a
 * default: leave the others out with `omit`. Throws for a key without one, which the tests would show.
 */
export function builtInOf<Shape extends z.core.$ZodLooseShape>(schema: z.ZodObject<Shape>) {
  const required = schema.required();
  let built: z.output<typeof required> | null = null;
  return () => {
    const entries = Object.entries(schema.shape).map(([key, entry]) => [key, fieldOf(entry)?.default]);
    built ??= required.parse(Object.fromEntries(entries));
    return built;
  };
}
