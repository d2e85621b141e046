/**
 * Runs a source through its schema and turns each of zod's issues into a fault at the place of the value. A value that
 * fails every branch of a union is reported once; one that has the shape of a branch is reported by that branch's faults.
 */
import * as z from 'zod';
import { type ConfigFault, type ConfigPath, describeFound, fault } from './fault.ts';
import { nearestOf } from './nearest.ts';
import { type RawSource, valueAt } from './source.ts';

type Issue = z.core.$ZodIssue;

export interface Validated<T> {
  /**
   * The parsed value. With faults it is what remains when every faulty part is left out, so that the rules across fields
   * can still be checked and all faults come in one report; null when nothing usable remains.
   */
  readonly value: T | null;
  readonly faults: readonly ConfigFault[];
  /** Where something was left out. */
  readonly removed: readonly ConfigPath[];
}

/** Removing a part can make the mapping around it incomplete; each round removes one level more. */
const ROUNDS_MAX = 4;

export function validate<S extends z.ZodType>(schema: S, source: RawSource): Validated<z.output<S>> {
  let value = withoutNulls(source.value, schema);
  let parsed = schema.safeParse(value);
  if (parsed.success) return { value: parsed.data, faults: [], removed: [] };
  const faults = parsed.error.issues.flatMap((issue) =>
    issueFaults(issue, [], { source, schema, root: value }),
  );
  const removed: ConfigPath[] = [];
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const paths = parsed.error.issues.flatMap((issue) => faultyPaths(issue, [], value));
    removed.push(...paths);
    if (paths.some((path) => path.length === 0)) break;
    value = without(value, paths);
    parsed = schema.safeParse(value);
    if (parsed.success) return { value: parsed.data, faults, removed };
  }
  return { value: null, faults, removed };
}

/**
 * What to leave out because of an issue. A missing part takes the mapping around it along, and a faulty item its whole
 * list: the items behind it would change their places otherwise.
 */
function faultyPaths(issue: Issue, above: ConfigPath, root: unknown): readonly ConfigPath[] {
  const path = pathOf(issue, above);
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...path, key]);
  const branch = branchOf(issue);
  if (branch !== null) return branch.flatMap((one) => faultyPaths(one, path, root));
  const faulty = valueAt(root, path) === undefined ? path.slice(0, -1) : path;
  const item = faulty.findIndex((part) => typeof part === 'number');
  return [item < 0 ? faulty : faulty.slice(0, item)];
}

/** A copy of `value` without the parts at `paths`, none of which leads into a list. */
function without(value: unknown, paths: readonly ConfigPath[]): unknown {
  if (paths.length === 0 || value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const kept = Object.entries(value).flatMap(([key, entry]) => {
    const below = paths.filter((path) => path[0] === key).map((path) => path.slice(1));
    return below.some((path) => path.length === 0) ? [] : [[key, without(entry, below)] as const];
  });
  return Object.fromEntries(kept);
}

/**
 * A key with nothing behind it counts as not given, as it did in the original. Only known keys of sections and models are
 * taken off: a misspelt one stays to be reported, and request_defaults may well say null.
 */
function withoutNulls(value: unknown, schema: z.core.$ZodType): unknown {
  const inner = unwrapped(schema);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  if (inner instanceof z.ZodRecord) {
    const entries = Object.entries(value).map(([key, entry]) => [key, withoutNulls(entry, inner.valueType)]);
    return Object.fromEntries(entries);
  }
  if (!(inner instanceof z.ZodObject)) return value;
  const kept = Object.entries(value).filter(
    ([key, entry]) => entry !== null || !Object.hasOwn(inner.shape, key),
  );
  return Object.fromEntries(
    kept.map(([key, entry]) => [
      key,
      Object.hasOwn(inner.shape, key) ? withoutNulls(entry, inner.shape[key]) : entry,
    ]),
  );
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return unwrapped(schema.unwrap());
  return schema;
}

interface Context {
  readonly source: RawSource;
  readonly schema: z.core.$ZodType;
  readonly root: unknown;
}

function pathOf(issue: Issue, above: ConfigPath): ConfigPath {
  return [...above, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
}

/** The issues of the branch that fits the value's kind: it has none with the value itself. */
function branchOf(issue: Issue): readonly Issue[] | null {
  if (issue.code !== 'invalid_union') return null;
  const fits = (one: Issue) => one.path.length > 0 || one.code === 'unrecognized_keys';
  return issue.errors.find((issues) => issues.every(fits)) ?? null;
}

function issueFaults(issue: Issue, above: ConfigPath, context: Context): ConfigFault[] {
  const { source, schema, root } = context;
  const path = pathOf(issue, above);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey(key, path, source, schema));
  }
  const branch = branchOf(issue);
  if (branch !== null) return branch.flatMap((one) => issueFaults(one, path, context));
  const value = valueAt(root, path);
  if (issue.code === 'invalid_key') {
    const allowed = issue.issues[0]?.message ?? null;
    return [
      fault('invalid_value', source.originOf(path, 'key'), path, 'the key is not acceptable', { allowed }),
    ];
  }
  if (value === undefined) {
    return [
      fault('missing', source.originOf(path, 'value'), path, 'must be given', { allowed: issue.message }),
    ];
  }
  const known = schemaAt(schema, path);
  const words = known instanceof z.ZodEnum ? known.options.map(String) : [];
  const nearest = typeof value === 'string' ? nearestOf(value, words) : null;
  const details = { found: describeFound(value, path), allowed: issue.message, nearest };
  return [fault('invalid_value', source.originOf(path, 'value'), path, 'not acceptable', details)];
}

function unknownKey(key: string, path: ConfigPath, source: RawSource, schema: z.core.$ZodType): ConfigFault {
  const known = knownKeys(schemaAt(schema, path));
  const nearest = nearestOf(key, known);
  const allowed = known.length > 0 ? known.join(', ') : null;
  return fault('unknown_key', source.originOf([...path, key], 'key'), [...path, key], 'unknown key', {
    allowed,
    nearest,
  });
}

function knownKeys(schema: z.core.$ZodType | null): readonly string[] {
  if (schema instanceof z.ZodObject) return Object.keys(schema.shape);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => knownKeys(unwrapped(option)));
  return [];
}

/** The schema of the value at `path`, as far as objects, records, lists and unions lead to it. */
function schemaAt(schema: z.core.$ZodType, path: ConfigPath): z.core.$ZodType | null {
  const inner = unwrapped(schema);
  const [part, ...rest] = path;
  if (part === undefined) return inner;
  if (inner instanceof z.ZodObject) {
    const child = Object.hasOwn(inner.shape, part) ? inner.shape[part] : undefined;
    return child === undefined ? null : schemaAt(child, rest);
  }
  if (inner instanceof z.ZodRecord) return schemaAt(inner.valueType, rest);
  if (inner instanceof z.ZodArray) return schemaAt(inner.element, rest);
  if (inner instanceof z.ZodUnion) {
    for (const option of inner.options) {
      const found = schemaAt(option, path);
      if (found !== null) return found;
    }
  }
  return null;
}
