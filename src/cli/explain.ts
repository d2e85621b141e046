/** `vllm-gateway explain MODEL`: asks a running gateway why the model waits, for how long, and what was decided about it. */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { nearestOf } from '../config/nearest.ts';
import { failure, type Result, success } from '../core/result.ts';
import { readStateOwner } from '../store/state-lock.ts';
import type { TextWriter } from './check.ts';
import { type ExplainedModel, explainText } from './explain-text.ts';

export interface ExplainOptions {
  readonly model: string;
  /** Address of the gateway; absent: where the gateway of the configuration listens. */
  readonly url?: string | undefined;
  /** Configuration file; absent: where `serve` would look. */
  readonly file?: string | undefined;
  /** Instead of the configured one. */
  readonly stateDirectory?: string | undefined;
  /** Its first line that is no comment is the key. */
  readonly apiKeyFile?: string | undefined;
  readonly json?: boolean | undefined;
  /** Again and again, until the model is awake or `signal` aborts. */
  readonly watch?: boolean | undefined;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** What is wrong, and the exit code: 1 where the gateway cannot be asked, 2 where it has no such model. */
interface ExplainFault {
  readonly text: string;
  readonly code: 1 | 2;
}

const KEY_VARIABLE = 'VLLM_GATEWAY_API_KEY';
const ASK_LIMIT_MS = 10_000;
const WATCH_PAUSE_MS = 1_000;
/** Names of models that are listed where none is near. */
const NAMES_MAX = 20;

/** The exit code: 0 when the model was explained, 1 when the gateway cannot be asked, 2 when it has no such model. */
export async function runExplain(options: ExplainOptions, output: TextWriter): Promise<number> {
  const { model, json = false, watch = false, signal } = options;
  const told = (fault: ExplainFault): number => {
    output.write(json ? `${JSON.stringify({ ok: false, fault: fault.text }, null, 2)}\n` : `${fault.text}\n`);
    return fault.code;
  };
  const url = await addressOf(options);
  if (!url.ok) return told({ text: url.error, code: 1 });
  const key = await keyOf(options);
  if (!key.ok) return told({ text: key.error, code: 1 });
  let before = '';
  for (;;) {
    const asked = await ask(url.value, key.value, model);
    if (!asked.ok) return told(asked.error);
    const found = asked.value;
    const text = json ? JSON.stringify({ model, ...found }, null, 2) : explainText(model, found);
    // Times count down all the time: what is told is what has changed beside them.
    const gist = [found.state, found.phase, ...(found.explanation?.steps ?? []).map((step) => step.kind)];
    if (gist.join() !== before) output.write(`${before === '' || json ? '' : '\n'}${text}\n`);
    before = gist.join();
    if (!watch || found.state === 'awake' || found.state === 'external' || signal.aborted) return 0;
    await pause(WATCH_PAUSE_MS, undefined, { signal }).catch(() => {});
    if (signal.aborted) return 0;
  }
}

/** A gateway that runs on the configuration's state directory has told where it listens; else it is where `serve` would. */
async function addressOf({
  url,
  file,
  stateDirectory,
  environment,
}: ExplainOptions): Promise<Result<string, string>> {
  if (url !== undefined)
    return URL.canParse(url)
      ? success(url.replace(/\/+$/, ''))
      : failure(`--url takes an address such as http://127.0.0.1:8000; found \`${url}\``);
  const overrides = stateDirectory === undefined ? {} : { stateDirectory };
  const loaded = await loadConfig({ file, environment, overrides });
  if (!loaded.ok) return failure(loaded.error.map(formatFault).join('\n'));
  const { server, runtime } = loaded.value;
  const owner = await readStateOwner(runtime.stateDirectory).catch(() => null);
  const told = owner?.isHeld === true ? owner.address : null;
  return success(reachable(told ?? `http://${hostText(server.host)}:${server.port}`));
}

function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Who listens on all addresses is asked on the loopback one. */
function reachable(address: string): string {
  return address.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}

/** Null: none is given, and none may be needed. */
async function keyOf({ apiKeyFile, environment }: ExplainOptions): Promise<Result<string | null, string>> {
  if (apiKeyFile === undefined) return success(environment[KEY_VARIABLE]?.trim() || null);
  try {
    const lines = (await readFile(apiKeyFile, 'utf8')).split('\n').map((line) => line.trim());
    const [line] = lines.filter((text) => text !== '' && !text.startsWith('#'));
    // As in a keys file of the server: a name may stand before the key.
    const key = line?.replace(/^[A-Za-z0-9._@-]{1,64}:[ \t]+/, '');
    if (key === undefined) return failure(`${apiKeyFile} holds no key`);
    return key.startsWith('sha256:')
      ? failure(`${apiKeyFile} holds a key's hash, not the key`)
      : success(key);
  } catch (error) {
    return failure(`${apiKeyFile} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

async function ask(
  url: string,
  key: string | null,
  model: string,
): Promise<Result<ExplainedModel, ExplainFault>> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(`${url}/gateway/status`, {
      headers: key === null ? {} : { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(ASK_LIMIT_MS),
    });
    body = await response.json().catch(() => null);
  } catch (error) {
    return failure({ text: unreachableText(url, error), code: 1 });
  }
  if (response.status === 401)
    return failure({
      text: `the gateway at ${url} wants an API key: set ${KEY_VARIABLE}, or name a file with --api-key-file`,
      code: 1,
    });
  const models = modelsOf(body);
  if (!response.ok || models === null)
    return failure({
      text: `${url}/gateway/status answered ${response.status}, and not as a vllm-gateway does: is it one, of this version?`,
      code: 1,
    });
  const found = models[model];
  return found === undefined
    ? failure({ text: unknownText(model, Object.keys(models)), code: 2 })
    : success(found);
}

function modelsOf(body: unknown): Readonly<Record<string, ExplainedModel>> | null {
  if (typeof body !== 'object' || body === null || !('models' in body)) return null;
  const { models } = body;
  return typeof models === 'object' && models !== null ? (models as Record<string, ExplainedModel>) : null;
}

function unreachableText(url: string, error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (code === 'ECONNREFUSED')
    return `no gateway listens on ${url}: start one with \`vllm-gateway serve\`, or name its address with --url`;
  const why = cause instanceof Error ? cause.message : String(cause);
  return `the gateway at ${url} cannot be asked (${why}); another address is named with --url`;
}

function unknownText(model: string, names: readonly string[]): string {
  const nearest = nearestOf(model, names);
  if (nearest !== null) return `the gateway has no model \`${model}\`; did you mean \`${nearest}\`?`;
  const shown = names.slice(0, NAMES_MAX).join(', ');
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
  return `the gateway has no model \`${model}\`. Models: ${shown}${more}`;
}
