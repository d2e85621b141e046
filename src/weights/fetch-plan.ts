/** What a launch of a model reads, and what of it is ours to fetch. No network; looks whether paths exist. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { LaunchSource } from '../engines/engine.ts';
import type { HubAccess } from '../readers/hub-access.ts';
import { type GgufChoice, parseModelName } from '../readers/model-name.ts';
import type { WeightFormat } from './file-choice.ts';
import { isObject, jsonObject } from './json-object.ts';
import { launchWords } from './launch-words.ts';
import type { RepositoryTarget } from './repository-fetch.ts';

export type FetchPlan =
  /** Not ours to fetch. */
  | { readonly kind: 'as_is'; readonly source: LaunchSource }
  | {
      readonly kind: 'fetch';
      readonly main: MainTarget;
      readonly others: readonly RepositoryTarget[];
      /** Beside the model itself nothing is read that we know nothing of. */
      readonly isComplete: boolean;
      /** Whether a tokenizer has to be found for a GGUF file. */
      readonly needsTokenizer: boolean;
      /** Where code of further repositories is looked for; null: none is run. */
      readonly codeRevision: string | null;
    };

export type MainTarget =
  | { readonly kind: 'repository'; readonly target: RepositoryTarget }
  | { readonly kind: 'gguf'; readonly target: RepositoryTarget; readonly choice: GgufChoice }
  | { readonly kind: 'address'; readonly address: string }
  /** All parts of a GGUF file of this host, in order. */
  | { readonly kind: 'file'; readonly paths: readonly string[] };

const MAIN_BRANCH = 'main';
const HUB_HOSTS: ReadonlySet<string> = new Set(['huggingface.co', 'www.huggingface.co', 'hf.co']);

export function fetchPlan(model: ResolvedModel, environment: Environment, access: HubAccess): FetchPlan {
  const { repo } = model;
  const words = launchWords(model);
  const asIs = (files: readonly string[] = []): FetchPlan => ({
    kind: 'as_is',
    source: { model: repo ?? model.name, tokenizer: null, isComplete: false, files },
  });
  if (repo === null || model.url !== null || model.command !== null || model.engine !== 'vllm') return asIs();
  if (/^(true|1)$/i.test(environment['VLLM_USE_MODELSCOPE'] ?? '')) return asIs();
  const main = mainTarget(repo, words.revision, words.format ?? 'auto', words.downloadDirectory, access);
  if (main === null) return asIs(existsSync(repo) ? [repo] : []);
  if (!model.fetch) return asIs(main.kind === 'file' ? main.paths : []);
  if (words.format === null && main.kind === 'repository') return asIs();
  const beside = (text: string | null, revision: string | null, format: WeightFormat): RepositoryTarget[] => {
    const name = text === null ? null : parseModelName(text, existsSync);
    if (name?.kind !== 'repository' || name.gguf !== null) return [];
    const { cacheDirectory } = access;
    return [
      {
        repo: name.repo,
        revision: revision ?? MAIN_BRANCH,
        wanted: { kind: 'model', format },
        cacheDirectory,
      },
    ];
  };
  const tokenizerRevision = words.tokenizerRevision ?? words.revision;
  const others = [
    // vLLM keeps weights in its download directory, and reads the configuration from the usual cache.
    ...(words.downloadDirectory === null ? [] : beside(repo, words.revision, 'none')),
    ...beside(words.tokenizer, tokenizerRevision, 'none'),
    ...beside(words.configRepo, words.revision, 'none'),
    ...beside(words.draft, null, 'auto'),
    ...words.adapters.flatMap((path) =>
      beside(path, null, 'none').map((target) => ({ ...target, wanted: { kind: 'adapter' as const } })),
    ),
  ];
  return {
    kind: 'fetch',
    main,
    others,
    isComplete: !words.hasConfigFile,
    needsTokenizer: main.kind !== 'repository' && words.tokenizer === null,
    codeRevision: words.trustsRemoteCode ? (words.codeRevision ?? MAIN_BRANCH) : null,
  };
}

/** Null: a directory, or nothing that a hub could know. */
function mainTarget(
  repo: string,
  revision: string | null,
  format: WeightFormat,
  downloadDirectory: string | null,
  access: HubAccess,
): MainTarget | null {
  const url = /^https?:\/\//i.test(repo) ? URL.parse(repo) : null;
  if (url !== null && !isOfHub(url, access))
    return /\.gguf$/i.test(url.pathname) ? { kind: 'address', address: repo } : null;
  if (/^\w+:\/\//.test(repo) && url === null) return null;
  const name = parseModelName(repo, existsSync);
  if (name === null) return null;
  if (name.kind === 'path')
    return /\.gguf$/i.test(name.path) && isFile(name.path)
      ? { kind: 'file', paths: partsBeside(name.path) }
      : null;
  const cacheDirectory = downloadDirectory ?? access.cacheDirectory;
  const target = { repo: name.repo, revision: revision ?? name.revision ?? MAIN_BRANCH };
  if (name.gguf === null)
    return { kind: 'repository', target: { ...target, cacheDirectory, wanted: { kind: 'model', format } } };
  const wanted = { kind: 'gguf' as const, choice: name.gguf };
  return { kind: 'gguf', choice: name.gguf, target: { ...target, cacheDirectory, wanted } };
}

function isOfHub(url: URL, { endpoint }: HubAccess): boolean {
  const isFileOfHub = /^\/[\w.-]+\/[\w.-]+\/(resolve|blob)\//.test(url.pathname);
  const isHub = HUB_HOSTS.has(url.hostname) || (endpoint !== null && url.origin === new URL(endpoint).origin);
  return isFileOfHub && isHub;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

const PART = /-\d{5}-of-\d{5}\.gguf$/i;

function partsBeside(path: string): readonly string[] {
  if (!PART.test(path)) return [path];
  const stem = basename(path).replace(PART, '');
  const names = readdirSync(dirname(path)).filter(
    (name) => PART.test(name) && name.replace(PART, '') === stem,
  );
  return names.sort().map((name) => join(dirname(path), name));
}

/** What a model's own configuration names besides it. */
export interface NamedRepositories {
  /** Code (`auto_map` of `owner/name--module.Class`). */
  readonly code: readonly string[];
  /** Whole models that this one is put together with: Ultravox's parts, what a speculator drafts for. */
  readonly models: readonly string[];
}

export function namedRepositories(configs: readonly string[]): NamedRepositories {
  const code = configs.flatMap((text) =>
    [...text.matchAll(/"([\w.-]{1,96}\/[\w.-]{1,96})--[\w.]+"/g)].map(([, repo = '']) => repo),
  );
  const models = configs.flatMap((text) => {
    const config = jsonObject(text) ?? {};
    const speculators = config['speculators_config'];
    const verifier = isObject(speculators) ? speculators['verifier'] : null;
    const named = [
      config['text_model_id'],
      config['audio_model_id'],
      isObject(verifier) ? verifier['name_or_path'] : null,
    ];
    return named.filter((name) => typeof name === 'string' && isRepositoryName(name)).map(String);
  });
  return { code: [...new Set(code)], models: [...new Set(models)] };
}

function isRepositoryName(text: string): boolean {
  return /^[\w.-]{1,96}\/[\w.-]{1,96}$/.test(text) && !existsSync(text);
}
