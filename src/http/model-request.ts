/** What the head and the body of a request say about its model, as values; `Exchange` acts on them. */

import type { ServerConfig } from '../config/resolved-config.ts';
import type { Refusal } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import type { RequestBody } from '../proxy/endpoint-types.ts';
import { scanBody } from './body-scan.ts';
import { clipped } from './clipped.ts';
import { beginsObject } from './json-reader.ts';
import { MultipartScan, type ScannedForm } from './multipart-scan.ts';
import type { NameResolution, NameResolver, ResolvedName } from './names.ts';
import { readBoundary } from './part-head.ts';
import { checkContentType, type RequestHead } from './request-checks.ts';
import type { ResponseDesk } from './response-desk.ts';
import type { Route } from './routes.ts';
import { prepareEdits, spliceBody } from './splice.ts';
import { spliceRange } from './spliced-file.ts';
import type { Upload } from './upload-reader.ts';

/** What of a name an error repeats. */
const ECHO_CHARS_MAX = 100;

const UNNAMED: Fault = { kind: 'fault', refusal: { code: 'model_unnamed', parameters: {} } };
const UNSCANNED = { background: false, previousResponseId: null } as const;

/** Routes that end at an engine. */
export type ForwardedRoute = Extract<Route, { kind: 'model' | 'engine_path' }>;

interface Fault {
  readonly kind: 'fault';
  readonly refusal: Refusal;
}

export type ModelChoice = { readonly kind: 'ok'; readonly model: ModelName } | Fault;

/** Judges what the head says about the body. Null: it may be read. */
export function bodyRefusal(head: RequestHead, route: ForwardedRoute): Refusal | null {
  const { bodyRule } = route;
  // A page cannot send the other methods without asking, whatever the body.
  if (bodyRule === 'none' || (bodyRule === 'any' && !(head.hasBody && head.method === 'POST'))) return null;
  if (bodyRule === 'json' && !head.hasBody) return { code: 'body_missing', parameters: {} };
  return checkContentType(head.contentType, bodyRule);
}

export function bodyLimitBytes(
  route: ForwardedRoute,
  server: Pick<ServerConfig, 'bodyLimitBytes' | 'audioBodyLimitBytes'>,
): number {
  return route.bodyRule === 'json' ? server.bodyLimitBytes : server.audioBodyLimitBytes;
}

/**
 * Finds the model of a request whose body need not name it, for one about a response by what is known of that. Null: it
 * is a form that has to name it.
 */
export function modelOfBodyless(
  head: RequestHead,
  route: ForwardedRoute,
  names: NameResolver,
  responses: ResponseDesk,
): ModelChoice | null {
  const named = headName(head, route, names);
  if (named?.kind !== 'fault' && route.kind === 'model' && route.responseId !== null) {
    return responses.modelOf(route.responseId, named?.model ?? null);
  }
  return named ?? (isForm(head, route) ? null : UNNAMED);
}

/** Finds the model that the path, the headers or the query name. */
export function modelOfHead(head: RequestHead, route: ForwardedRoute, names: NameResolver): ModelChoice {
  return headName(head, route, names) ?? UNNAMED;
}

function headName(head: RequestHead, route: ForwardedRoute, names: NameResolver): NameResolution | null {
  if (route.kind === 'engine_path') return route.name;
  const name = route.modelName ?? head.modelHeader ?? queryModel(head.target);
  return name === null ? null : names.resolve(name);
}

/** Looks for the model of a form; null: the body is none. */
export function formScan(
  head: RequestHead,
  route: ForwardedRoute,
): { readonly kind: 'ok'; readonly scan: MultipartScan | null } | Fault {
  if (!isForm(head, route)) return { kind: 'ok', scan: null };
  const boundary = readBoundary(head.contentType ?? '');
  if (boundary.ok) return { kind: 'ok', scan: new MultipartScan(boundary.value) };
  return { kind: 'fault', refusal: { code: 'form_malformed', parameters: { detail: boundary.error } } };
}

function isForm(head: RequestHead, route: ForwardedRoute): boolean {
  if (!head.hasBody || route.bodyRule === 'json') return false;
  // What is asked about a response names no model.
  if (route.kind === 'model' && route.responseId !== null) return false;
  return checkContentType(head.contentType, 'multipart') === null;
}

export type ReadBody =
  | {
      readonly kind: 'ok';
      /** Null: the head names it. */
      readonly model: ModelName | null;
      readonly stream: boolean;
      /** As of `ScannedBody`; false and null where the body was not scanned. */
      readonly background: boolean;
      readonly previousResponseId: string | null;
      /** As the engine gets it. */
      readonly body: NonNullable<RequestBody>;
    }
  | Fault;

/** Reads what came by an `UploadReader`. */
export function readUpload(
  { body, form }: Upload,
  head: RequestHead,
  route: ForwardedRoute,
  names: NameResolver,
): ReadBody {
  if (form !== null) return readForm(body, form, headName(head, route, names), names);
  if (route.kind === 'engine_path' && Buffer.isBuffer(body)) return readPathBody(body, route.name, names);
  return unread(body);
}

/** A form may name the model, and must where the head does not. Both have to mean the same. */
function readForm(
  body: Upload['body'],
  form: ScannedForm,
  named: NameResolution | null,
  names: NameResolver,
): ReadBody {
  const written = form.model;
  let name = named ?? names.resolve(written);
  if (name.kind === 'fault') return name;
  if (named !== null && written !== null && written !== name.servedName) {
    const other = names.resolve(written);
    if (other.kind === 'fault' || !isSame(name, other)) return conflict(name, written);
    if (other.isAdapter) name = other;
  }
  const { model, servedName } = name;
  const { stream } = form;
  // Who names the model beside the form may leave it out there; the default model is nobody's word but ours.
  const isUnnamed = written === null && named !== null;
  if (isUnnamed || written === servedName) return { kind: 'ok', model, stream, ...UNSCANNED, body };
  return { kind: 'ok', model, stream, ...UNSCANNED, body: renamedForm(body, form, servedName) };
}

/** The form with the served name in its part `model`, or with such a part in front. */
function renamedForm(body: Upload['body'], form: ScannedForm, servedName: string): NonNullable<RequestBody> {
  const part = `Content-Disposition: form-data; name="model"\r\n\r\n${servedName}`;
  if (form.model === null) return spliceRange(body, 0, 0, Buffer.from(`--${form.boundary}\r\n${part}\r\n`));
  const { modelHeadStart, modelStart, modelEnd } = form;
  if (modelHeadStart === null) return spliceRange(body, modelStart, modelEnd, Buffer.from(servedName));
  // Its Content-Length would be wrong.
  return spliceRange(body, modelHeadStart, modelEnd, Buffer.from(part));
}

function unread(body: NonNullable<RequestBody>): ReadBody {
  return { kind: 'ok', model: null, stream: false, ...UNSCANNED, body };
}

/** A JSON body that names its model. */
export function readJsonRequest(body: Buffer, names: NameResolver): ReadBody {
  const scan = scanBody(body);
  if (scan.kind === 'fault') return scan;
  const resolved = names.resolve(scan.model);
  if (resolved.kind === 'fault') return resolved;
  const { model, edits } = resolved;
  return {
    kind: 'ok',
    model,
    stream: scan.stream,
    background: scan.background,
    previousResponseId: scan.previousResponseId,
    body: edits === null ? body : spliceBody(body, scan, edits),
  };
}

/** The path names the model; a JSON object that names one too must mean the same, and then says what the engine knows. */
function readPathBody(body: Buffer, name: ResolvedName, names: NameResolver): ReadBody {
  if (beginsObject(body) !== true) return unread(body);
  const scan = scanBody(body);
  if (scan.kind === 'fault') {
    // A `model` that is no string names nothing: the engine says so, or does without.
    return scan.refusal.code === 'model_not_string' ? unread(body) : scan;
  }
  const written = scan.model;
  let used = name;
  if (written !== null && written !== name.servedName) {
    const resolved = names.resolve(written);
    if (resolved.kind === 'fault' || !isSame(name, resolved)) return conflict(name, written);
    if (resolved.isAdapter) used = resolved;
  }
  const renames = written !== null && written !== used.servedName;
  const edits = used.edits ?? (renames ? prepareEdits({ model: used.servedName }) : null);
  return {
    kind: 'ok',
    model: null,
    stream: scan.stream,
    background: scan.background,
    previousResponseId: scan.previousResponseId,
    body: edits === null ? body : spliceBody(body, scan, edits),
  };
}

/** A model's path serves its adapters too, as the engine behind it does; an adapter's path serves that one alone. */
function isSame(named: ResolvedName, written: ResolvedName): boolean {
  return written.model === named.model && (!named.isAdapter || written.servedName === named.servedName);
}

function conflict(name: ResolvedName, written: string): Fault {
  const model = name.isAdapter ? name.servedName : name.model;
  return { kind: 'fault', refusal: { code: 'model_conflict', parameters: { model, other: echo(written) } } };
}

function echo(name: string): string {
  return clipped(name, ECHO_CHARS_MAX).toWellFormed();
}

function queryModel(target: string): string | null {
  const at = target.indexOf('?');
  const name = at < 0 ? null : new URLSearchParams(target.slice(at)).get('model');
  return name === '' ? null : name;
}
