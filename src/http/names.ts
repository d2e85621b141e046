/**
 * From the name a client uses to the model that serves it: exact names of models and of their adapters, then exact
 * aliases, then globs in the order of the configuration, then the default model for requests without a name.
 *
 * 1. The cost of a look-up is bounded, whatever a client sends: long names are not compared, globs never backtrack
 *    beyond pattern times name, and suggestions look at a limited number of names.
 */

import { distance } from 'fastest-levenshtein';
import type { ResolvedConfig, ResolvedModel } from '../config/resolved-config.ts';
import type { Refusal } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import { clipped } from './clipped.ts';
import { type BodyEdits, prepareEdits } from './splice.ts';

/** Longer names exist nowhere: they are unknown without a look at the globs. */
export const MODEL_NAME_CHARS_MAX = 512;
/** Names compared for a suggestion, and the characters of a name that an error repeats. */
const SUGGESTION_CANDIDATES_MAX = 500;
const SUGGESTIONS_MAX = 3;
const ECHO_CHARS_MAX = 100;

export interface ResolvedName {
  readonly kind: 'ok';
  readonly model: ModelName;
  /** What the server behind calls it. */
  readonly servedName: string;
  /** An adapter of `model`: another model for clients, in the same engine. */
  readonly isAdapter: boolean;
  /** The model's request defaults with the alias' over them; never `model`. */
  readonly requestDefaults: Readonly<Record<string, unknown>>;
  /** Edits for JSON bodies that used this name; null: the bytes pass as they are. */
  readonly edits: BodyEdits | null;
}

export type NameResolution = ResolvedName | { readonly kind: 'fault'; readonly refusal: Refusal };

export interface NameResolver {
  /** Null: the request names no model. */
  resolve(name: string | null): NameResolution;
  /**
   * Splits `{model}/rest` of a raw path (percent-encoded, without a leading slash): the longest known name wins.
   * `rest` keeps its leading slash and its encoding, and is empty when nothing follows. Null: no known name.
   */
  splitPath(rawPath: string): { readonly name: ResolvedName; readonly rest: string } | null;
  /** The refusal for a name nobody serves, with the closest names in it. */
  unknown(name: string): Refusal;
}

export type NamesConfig = Pick<ResolvedConfig, 'models' | 'aliases' | 'defaultModel'>;

export function createNameResolver(config: NamesConfig): NameResolver {
  const exact = new Map<string, ResolvedName>();
  const globs: { readonly pattern: string; readonly name: ResolvedName }[] = [];
  const adapters = adapterOwners(config.models);
  for (const alias of config.aliases) {
    const owner = adapters.get(alias.model);
    const model = owner ?? config.models.get(alias.model);
    if (model === undefined) continue;
    const isGlob = alias.pattern.includes('*') || alias.pattern.includes('?');
    const name =
      owner === undefined
        ? modelName(model, alias.requestDefaults, isGlob || alias.pattern !== model.servedName)
        : adapterName(owner, alias.model, alias.requestDefaults);
    if (isGlob) globs.push({ pattern: alias.pattern, name });
    else if (!exact.has(alias.pattern)) exact.set(alias.pattern, name);
  }
  for (const [adapter, owner] of adapters) exact.set(adapter, adapterName(owner, adapter, {}));
  for (const model of config.models.values()) {
    exact.set(model.name, modelName(model, {}, model.name !== model.servedName));
  }
  const fallback = config.defaultModel === null ? undefined : config.models.get(config.defaultModel);
  const defaultName = fallback === undefined ? null : modelName(fallback, {}, true);
  let segmentsMax = 1;
  for (const known of exact.keys()) segmentsMax = Math.max(segmentsMax, known.split('/').length);

  const find = (name: string): ResolvedName | null => {
    const known = exact.get(name);
    if (known !== undefined) return known;
    if (name.length > MODEL_NAME_CHARS_MAX) return null;
    return globs.find((glob) => matchesGlob(glob.pattern, name))?.name ?? null;
  };

  return {
    resolve(name) {
      if (name === null) {
        return defaultName ?? { kind: 'fault', refusal: { code: 'model_missing', parameters: {} } };
      }
      return find(name) ?? { kind: 'fault', refusal: unknownModel(name, exact.keys()) };
    },
    unknown: (name) => unknownModel(name, exact.keys()),
    splitPath(rawPath) {
      const ends = segmentEnds(rawPath, segmentsMax);
      for (const end of ends.toReversed()) {
        const name = exact.get(decodePath(rawPath.slice(0, end)) ?? '');
        if (name !== undefined) return { name, rest: rawPath.slice(end) };
      }
      const firstEnd = ends[0] ?? 0;
      const first = decodePath(rawPath.slice(0, firstEnd));
      const name = first === null || first === '' ? null : find(first);
      return name === null ? null : { name, rest: rawPath.slice(firstEnd) };
    },
  };
}

/** The models of all adapters, by the adapters' names. */
function adapterOwners(models: NamesConfig['models']): ReadonlyMap<string, ResolvedModel> {
  const owners = new Map<string, ResolvedModel>();
  for (const model of models.values()) {
    for (const adapter of Object.keys(model.adapters)) owners.set(adapter, model);
  }
  return owners;
}

type Defaults = Readonly<Record<string, unknown>>;

/** `renames`: the client's name may be another than the server's. */
function modelName(model: ResolvedModel, aliasDefaults: Defaults, renames: boolean): ResolvedName {
  return resolvedName(model, model.servedName, false, aliasDefaults, renames);
}

/** Always renames: where a body has no name, the server would take the model without its adapter. */
function adapterName(model: ResolvedModel, adapter: string, aliasDefaults: Defaults): ResolvedName {
  return resolvedName(model, adapter, true, aliasDefaults, true);
}

function resolvedName(
  model: ResolvedModel,
  servedName: string,
  isAdapter: boolean,
  aliasDefaults: Defaults,
  renames: boolean,
): ResolvedName {
  const { model: _ignored, ...requestDefaults } = { ...model.requestDefaults, ...aliasDefaults };
  const edits = prepareEdits({ model: renames ? servedName : null, defaults: requestDefaults });
  return { kind: 'ok', model: model.name, servedName, isAdapter, requestDefaults, edits };
}

/** Positions of the first `count` slashes, the end included when there are fewer. */
function segmentEnds(path: string, count: number): number[] {
  const ends: number[] = [];
  let at = -1;
  while (ends.length < count) {
    at = path.indexOf('/', at + 1);
    if (at < 0) {
      ends.push(path.length);
      break;
    }
    ends.push(at);
  }
  return ends;
}

function decodePath(text: string): string | null {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** `*` is any run of characters, `?` exactly one. Only the last star is retried, so the cost is pattern times name. */
export function matchesGlob(pattern: string, name: string): boolean {
  let at = 0;
  let patternAt = 0;
  let star = -1;
  let starMatchedTo = 0;
  while (at < name.length) {
    const expected = pattern[patternAt];
    if (expected === '*') {
      star = patternAt++;
      starMatchedTo = at;
    } else if (expected === '?' || expected === name[at]) {
      patternAt++;
      at++;
    } else if (star >= 0) {
      patternAt = star + 1;
      at = ++starMatchedTo;
    } else {
      return false;
    }
  }
  while (pattern[patternAt] === '*') patternAt++;
  return patternAt === pattern.length;
}

function unknownModel(name: string, known: Iterable<string>): Refusal {
  const echo = clipped(name, ECHO_CHARS_MAX);
  const closest = closestNames(name, known);
  const hint =
    closest.length === 0 ? '' : ` Did you mean ${closest.map((near) => `\`${near}\``).join(' or ')}?`;
  return { code: 'model_not_found', parameters: { model: echo.toWellFormed(), hint } };
}

/** At most three names that a typing error or a missing prefix explains, nearest first. */
export function closestNames(name: string, known: Iterable<string>): string[] {
  const wanted = name.slice(0, ECHO_CHARS_MAX).toLowerCase();
  const scored: { readonly name: string; readonly score: number }[] = [];
  let compared = 0;
  for (const candidate of known) {
    if (++compared > SUGGESTION_CANDIDATES_MAX) break;
    const lower = candidate.toLowerCase();
    const edits = distance(wanted, lower.slice(0, ECHO_CHARS_MAX));
    const contained = wanted.length >= 3 && (lower.includes(wanted) || wanted.includes(lower));
    if (contained || edits <= Math.max(1, Math.floor(wanted.length * 0.34))) {
      scored.push({ name: candidate, score: contained ? edits / 4 : edits });
    }
  }
  scored.sort((one, other) => one.score - other.score || (one.name < other.name ? -1 : 1));
  return scored.slice(0, SUGGESTIONS_MAX).map((entry) => entry.name);
}
