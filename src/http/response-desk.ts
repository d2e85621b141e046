/**
 * What the gateway does for the Responses API beyond passing it on: a response is asked for at the engine that made it, one
 * that is made in the background holds its engine, and neither is promised by engines that keep nothing.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { BackgroundResponses } from '../control/background-responses.ts';
import type { Gate } from '../control/gate.ts';
import type { Refusal } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import type { ForwardedRoute, ModelChoice, ReadBody } from './model-request.ts';
import { ResponseErrand } from './response-errand.ts';
import {
  endedEngine,
  keepsNone,
  type ResponseOwners,
  type ResponsePlace,
  unknownResponse,
} from './response-owners.ts';
import { ONE_RESPONSE, responseIdOfPath } from './response-path.ts';

const CREATE = '/v1/responses';

/** The keys of a model that matter here. */
export type RespondingModel = Pick<ResolvedModel, 'url' | 'responsesStore' | 'backgroundTimeoutMs'>;

export interface DeskPorts {
  readonly models: ReadonlyMap<ModelName, RespondingModel>;
  readonly owners: ResponseOwners;
  readonly background: BackgroundResponses;
  readonly gate: Gate;
}

export interface ErrandRequest {
  readonly method: string;
  readonly route: ForwardedRoute;
  readonly model: ModelName;
  /** Null: it has no body. */
  readonly read: Extract<ReadBody, { kind: 'ok' }> | null;
  readonly clientRequestId: string;
}

/** `errand` null: nothing is to be done for it but passing it on. */
export type ErrandChoice =
  | { readonly kind: 'ok'; readonly errand: ResponseErrand | null }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

const NO_ERRAND: ErrandChoice = { kind: 'ok', errand: null };

export class ResponseDesk {
  readonly #ports: DeskPorts;

  constructor(ports: DeskPorts) {
    this.#ports = ports;
  }

  /** The model to ask for a response: the one that made it, else the one that the client names. */
  modelOf(id: string, named: ModelName | null): ModelChoice {
    const model = this.#ports.owners.ownerOf(id)?.model ?? named;
    return model === null ? unknownResponse(id) : { kind: 'ok', model };
  }

  /** What is to be done for a request in the dialect of Responses, once its model and body are known. */
  errandOf(request: ErrandRequest): ErrandChoice {
    const { method, route } = request;
    const { upstreamTarget } = route;
    const query = upstreamTarget.indexOf('?');
    const path = query < 0 ? upstreamTarget : upstreamTarget.slice(0, query);
    const id = responseIdOfPath(method, path);
    if (id !== null) return this.#askErrand(id, request);
    return method === 'POST' && path === CREATE ? this.#createErrand(request) : NO_ERRAND;
  }

  #askErrand(id: string, { model }: ErrandRequest): ErrandChoice {
    const { background, gate } = this.#ports;
    const place = this.#placeOf(id, model);
    if (place.kind === 'fault') return place;
    const { owner, engine } = place;
    const held = engine.state === 'open' ? null : background.gateOf(id);
    if (engine.state === 'ending' && held === null) return endedEngine(id, owner.model);
    const errand = new ResponseErrand({
      gate: held ?? gate,
      path: ONE_RESPONSE,
      wanted: { id, owner },
      create: null,
    });
    return { kind: 'ok', errand };
  }

  #placeOf(id: string, model: ModelName): ResponsePlace {
    const { owners, models } = this.#ports;
    const owner = owners.ownerOf(id);
    if (owner !== null && owner.model === model) return owners.placeOf(id, owner);
    const asked = models.get(model);
    // A server that others run keeps what it wants.
    if (asked !== undefined && !asked.responsesStore && asked.url === null) return keepsNone(id, model);
    return owners.placeIn(id, model);
  }

  #createErrand({ model, read, clientRequestId }: ErrandRequest): ErrandChoice {
    const { models, owners, background, gate } = this.#ports;
    const made = models.get(model);
    if (made === undefined || read === null) return NO_ERRAND;
    if (!made.responsesStore) {
      return read.background
        ? { kind: 'fault', refusal: { code: 'background_off', parameters: { model } } }
        : NO_ERRAND;
    }
    const wanted = this.#previous(read.previousResponseId, model);
    if (wanted !== null && wanted.kind === 'fault') return wanted;
    const errand = new ResponseErrand({
      gate,
      path: CREATE,
      wanted,
      create: {
        owners,
        background: read.background ? background : null,
        clientRequestId,
        timeoutMs: made.backgroundTimeoutMs,
      },
    });
    return { kind: 'ok', errand };
  }

  /** The engine that a create has to go to; null: any. An id that is not known here is the engine's to judge. */
  #previous(id: string | null, model: ModelName) {
    const owner = id === null ? null : this.#ports.owners.ownerOf(id);
    if (id === null || owner === null) return null;
    if (owner.model !== model) {
      const parameters = { id, other: owner.model, model };
      return { kind: 'fault', refusal: { code: 'response_of_other_model', parameters } } as const;
    }
    const place = this.#ports.owners.placeOf(id, owner);
    if (place.kind === 'fault') return place;
    return place.engine.state === 'ending'
      ? endedEngine(id, model)
      : ({ kind: 'wanted', id, owner } as const);
  }
}
