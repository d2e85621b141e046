/**
 * `vllm-gateway fetch`: brings models into the Hugging Face cache before anybody waits for them. It may run beside a gateway:
 * one repository is fetched by one of them at a time, and the other finds what is there.
 */
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import { nearestOf } from '../config/nearest.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { failure, type Result, success } from '../core/result.ts';
import { byteText } from '../weights/byte-text.ts';
import type { FetchResult } from '../weights/fetcher.ts';
import { createWeightsFetcher } from '../weights/weights-fetcher.ts';
import type { TextWriter } from './check.ts';
import { FetchBar } from './fetch-bar.ts';
import { leftAlone } from './fetch-left-alone.ts';

export interface FetchCommand {
  /** Names of configured models, repositories, addresses or paths. */
  readonly models: readonly string[];
  /** Every configured model. */
  readonly all?: boolean | undefined;
  /** Ask the hub for newer commits of what is complete. */
  readonly update?: boolean | undefined;
  readonly file?: string | undefined;
  readonly environment: Environment;
  /** Draw a bar over itself. */
  readonly isTerminal: boolean;
  /** Ends it; what came is kept. */
  readonly signal: AbortSignal;
}

/** As shells tell of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

/** The exit code: 0 if everything is there, 1 if something is not, 130 if it was ended. */
export async function runFetch(options: FetchCommand, output: TextWriter): Promise<number> {
  const chosen = await chosenModels(options);
  if (!chosen.ok) {
    output.write(`${chosen.error.join('\n')}\n`);
    return 1;
  }
  const counts = { there: 0, absent: 0, not_ours: 0 };
  for (const model of chosen.value) {
    const { kind, text } = await outcomeOf(model, options, output);
    if (options.signal.aborted) {
      output.write(`Ended. What has come is kept: the same command goes on from there.\n`);
      return INTERRUPTED;
    }
    counts[kind] += 1;
    output.write(`${label(model)}: ${text}.\n`);
  }
  if (chosen.value.length > 1) output.write(`${countText(counts)}\n`);
  return counts.absent === 0 ? 0 : 1;
}

interface Outcome {
  readonly kind: 'there' | 'absent' | 'not_ours';
  /** A clause for after the model's name. */
  readonly text: string;
}

async function outcomeOf(model: ResolvedModel, options: FetchCommand, output: TextWriter): Promise<Outcome> {
  const left = await leftAlone(model, options.environment);
  switch (left?.kind) {
    case 'not_ours':
      return { kind: 'not_ours', text: 'nothing of it is fetched by the gateway' };
    case 'there':
      return { kind: 'there', text: 'is there' };
    case 'absent':
      return left;
    case undefined:
      return fetchedText(await fetchOne(model, options, output));
  }
}

function countText({ there, absent, not_ours: others }: Readonly<Record<Outcome['kind'], number>>): string {
  const mine = `${there} of ${there + absent} models are there`;
  if (others === 0) return `${mine}.`;
  return `${mine}; ${others} ${others === 1 ? 'is' : 'are'} not for the gateway to fetch.`;
}

async function fetchOne(
  model: ResolvedModel,
  { environment, isTerminal, signal, update = false }: FetchCommand,
  output: TextWriter,
): Promise<FetchResult> {
  const bar = new FetchBar(model.name, output, isTerminal, () => performance.now());
  const fetcher = createWeightsFetcher({
    environment,
    update,
    onAsk: (origin) => bar.say(`asking ${origin}…`),
    // Failed tries that are soon followed by others are told in a whisper, and here somebody is waiting.
    log: (level, text) => bar.above(level === 'debug' ? `${model.name}: ${text}` : `${level}: ${text}`),
  });
  try {
    return await fetcher.fetch(model, { signal, onProgress: (progress) => bar.update(progress) });
  } finally {
    bar.clear();
    await fetcher.close();
  }
}

function label({ name, repo }: ResolvedModel): string {
  return repo === null || repo === name ? name : `${name}: ${shown(repo)}`;
}

function fetchedText(result: FetchResult): Outcome {
  if (result.kind === 'failed') return { kind: 'absent', text: result.failure.text };
  const { source, fetchedBytes } = result;
  const tokenizer = source.tokenizer === null ? '' : `, with the tokenizer of ${source.tokenizer}`;
  const text =
    fetchedBytes === 0
      ? `is there${tokenizer}`
      : `is there now, ${byteText(fetchedBytes)} fetched${tokenizer}`;
  return { kind: 'there', text };
}

/** Addresses may carry a user and a signature. */
function shown(repo: string): string {
  const url = URL.parse(repo);
  return url === null ? repo : `${url.protocol}//${url.host}${url.pathname}`;
}

async function chosenModels(
  options: FetchCommand,
): Promise<Result<readonly ResolvedModel[], readonly string[]>> {
  const { models: words, all = false, file, environment } = options;
  if (words.length === 0 && !all)
    return failure(['Name models to fetch (configured ones, repositories, addresses, paths), or --all.']);
  const loaded = await loadConfig({ file, environment });
  // Repositories can be fetched without any configuration.
  const needsConfig = all || file !== undefined || words.some((word) => !isDirect(word));
  if (!loaded.ok && needsConfig) return failure(loaded.error.map(formatFault));
  const configured = loaded.ok ? loaded.value.models : new Map<string, ResolvedModel>();
  const chosen: ResolvedModel[] = [];
  for (const name of all ? [...configured.keys(), ...words] : words) {
    const model = configured.get(name) ?? (isDirect(name) ? await directModel(name) : undefined);
    if (model === undefined) return failure([unknownText(name, [...configured.keys()])]);
    // Whoever asks for it wants it, whatever happens at starts.
    if (!chosen.some((each) => each.name === model.name)) chosen.push({ ...model, fetch: true });
  }
  return success(chosen);
}

/** A repository, an address or a path. */
function isDirect(word: string): boolean {
  return word.includes('/');
}

/** A model with all defaults. */
async function directModel(repo: string): Promise<ResolvedModel | undefined> {
  const loaded = await loadConfig({ object: { models: { direct: { repo } } }, environment: {} });
  const model = loaded.ok ? loaded.value.models.get('direct') : undefined;
  return model === undefined ? undefined : { ...model, name: shown(repo) };
}

function unknownText(name: string, known: readonly string[]): string {
  const nearest = nearestOf(name, known);
  const hint = nearest === null ? '' : ` Did you mean \`${nearest}\`?`;
  return `No model \`${name}\` is configured, and it is no repository (owner/name), address or path.${hint}`;
}
