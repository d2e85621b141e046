/**
 * Which engine made a stored response: learned from the answers of models with `responses_store`, and asked when a request
 * names a response. An entry outlives its engine, so that the error can say what became of the response; the number of
 * entries is bounded, the oldest go first.
 */
import type { StandingEngine } from '../control/standing-engine.ts';
import type { Refusal } from '../core/errors.ts';
import type { LaunchId, ModelName } from '../core/ids.ts';

/** Responses remembered at once, some 200 bytes each; the oldest is forgotten first. */
const RESPONSES_REMEMBERED_MAX = 20_000;

export interface ResponseOwner {
  readonly model: ModelName;
  /** Null: a server that others run. */
  readonly launchId: LaunchId | null;
}

/** Where a response is to be asked for. */
export type ResponsePlace =
  | { readonly kind: 'ok'; readonly owner: ResponseOwner; readonly engine: StandingEngine }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

export class ResponseOwners {
  readonly #engineOf: (model: ModelName) => StandingEngine | null;
  readonly #limit: number;
  readonly #owners = new Map<string, ResponseOwner>();

  constructor(engineOf: (model: ModelName) => StandingEngine | null, limit = RESPONSES_REMEMBERED_MAX) {
    this.#engineOf = engineOf;
    this.#limit = limit;
  }

  get size(): number {
    return this.#owners.size;
  }

  learn(id: string, owner: ResponseOwner): void {
    // The one that was made last is the last to go.
    this.#owners.delete(id);
    this.#owners.set(id, owner);
    if (this.#owners.size <= this.#limit) return;
    const [oldest] = this.#owners.keys();
    if (oldest !== undefined) this.#owners.delete(oldest);
  }

  ownerOf(id: string): ResponseOwner | null {
    return this.#owners.get(id) ?? null;
  }

  /** Where a known response is. An engine that is about to be stopped counts as long as it stands. */
  placeOf(id: string, owner: ResponseOwner): ResponsePlace {
    const engine = this.#engineOf(owner.model);
    if (engine === null || engine.launchId !== owner.launchId) return endedEngine(id, owner.model);
    return { kind: 'ok', owner, engine };
  }

  /** Where a response that is not known may be, for a client that names its model. */
  placeIn(id: string, model: ModelName): ResponsePlace {
    const engine = this.#engineOf(model);
    if (engine === null) {
      return notFound(id, `\`${model}\` has no engine now, and what an earlier one kept has ended with it`);
    }
    return { kind: 'ok', owner: { model, launchId: engine.launchId }, engine };
  }
}

export function endedEngine(id: string, model: ModelName): Extract<ResponsePlace, { kind: 'fault' }> {
  return notFound(id, `the engine of \`${model}\` that made it has ended, and what it kept with it`);
}

export function unknownResponse(id: string): Extract<ResponsePlace, { kind: 'fault' }> {
  return notFound(
    id,
    'this gateway remembers none of that id; with the header `X-Model` or `?model=` the engine of that model is asked',
  );
}

export function keepsNone(id: string, model: ModelName): Extract<ResponsePlace, { kind: 'fault' }> {
  return notFound(id, `the engine of \`${model}\` keeps no responses (\`responses_store\` is off)`);
}

function notFound(id: string, reason: string): Extract<ResponsePlace, { kind: 'fault' }> {
  return { kind: 'fault', refusal: { code: 'response_not_found', parameters: { id, reason } } };
}
