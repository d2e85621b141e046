/**
 * Brings what a launch reads into the Hugging Face cache, where vLLM finds it with HF_HUB_OFFLINE=1 (docs/fetching.md).
 *  1. `fetch-plan.ts` says what that is, from the model's configuration.
 *  2. Each repository in turn: `repository-fetch.ts`; a plain address: `url-fetch.ts`.
 *  3. A GGUF file gets the tokenizer of the model that it was made from, if that can be found and had.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { LaunchSource } from '../engines/engine.ts';
import { hubAccess } from '../readers/hub-access.ts';
import type { Log } from '../telemetry/log.ts';
import type { MakeLink } from './cache-layout.ts';
import { type FreeBytes, freeBytes } from './disk-space.ts';
import { AbsentError, failureOf } from './fetch-error.ts';
import { FETCH_LIMITS, type FetchLimits } from './fetch-limits.ts';
import { type FetchPlan, fetchPlan, namedRepositories } from './fetch-plan.ts';
import { ProgressMeter } from './fetch-progress.ts';
import type { FetchResult, WeightsFetcher } from './fetcher.ts';
import { ggufPaths, hasTokenizer } from './file-choice.ts';
import { ggufBaseModel } from './gguf-base-model.ts';
import { createHubTransport } from './hub-transport.ts';
import { type FetchWork, fetchRepository } from './repository-fetch.ts';
import { RepositoryLocks } from './repository-lock.ts';
import { Slots } from './slots.ts';
import { fetchAddress } from './url-fetch.ts';

export interface WeightsFetcherOptions {
  /** The gateway's own; a model's `environment` goes over it. */
  readonly environment: Environment;
  readonly log: Log;
  /** Ask the hub for a newer commit even where everything is here. */
  readonly update?: boolean;
  /** Told before a server is asked of which nothing has been heard yet, with its scheme, host and port. */
  readonly onAsk?: (origin: string) => void;
  /** For tests. */
  readonly limits?: Partial<FetchLimits>;
  /** For tests of full disks. */
  readonly free?: FreeBytes;
  /** For tests of file systems without links. */
  readonly makeLink?: MakeLink;
}

type FetchedPlan = Extract<FetchPlan, { readonly kind: 'fetch' }>;

/** Fetches in this thread. */
export function createWeightsFetcher(options: WeightsFetcherOptions): WeightsFetcher {
  const limits = { ...FETCH_LIMITS, ...options.limits };
  const shared = { locks: new RepositoryLocks(options.log), slots: new Slots(limits) };
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();
  return {
    async fetch(model, { signal, onProgress }) {
      const ended = AbortSignal.any([signal, closing.signal]);
      const progress = new ProgressMeter(onProgress, limits.progressEveryMs);
      const work = { ...shared, limits, progress, signal: ended, onlyLook: false };
      const mine = fetchModel(model, options, work).catch((error: unknown): FetchResult => {
        const what = shownName(model);
        const failure = ended.aborted
          ? { cause: 'fetch_failed' as const, text: `the fetch of ${what} was ended`, retryable: true }
          : failureOf(error, what, 'the Hugging Face cache');
        return { kind: 'failed', failure };
      });
      running.add(mine);
      try {
        return await mine;
      } finally {
        running.delete(mine);
      }
    },
    async close() {
      closing.abort();
      await Promise.allSettled(running);
    },
  };
}

/** What `fetch` would answer without a hub, at once; null: something has to be fetched. Never rejects. */
export async function fetchedAlready(
  model: ResolvedModel,
  options: WeightsFetcherOptions,
): Promise<FetchResult | null> {
  if (options.update === true) return null;
  const limits = { ...FETCH_LIMITS, ...options.limits };
  const progress = new ProgressMeter(() => {}, limits.progressEveryMs);
  const work = {
    locks: new RepositoryLocks(options.log),
    slots: new Slots(limits),
    limits,
    progress,
    signal: new AbortController().signal,
    onlyLook: true,
  };
  try {
    return await fetchModel(model, options, work);
  } catch (error) {
    if (error instanceof AbsentError) return null;
    return { kind: 'failed', failure: failureOf(error, shownName(model), 'the Hugging Face cache') };
  }
}

type SharedWork = Pick<FetchWork, 'locks' | 'slots' | 'limits' | 'progress' | 'signal' | 'onlyLook'>;

/** Rejects where something fails that no person can mend, when the signal aborts, and with an AbsentError. */
async function fetchModel(
  model: ResolvedModel,
  options: WeightsFetcherOptions,
  shared: SharedWork,
): Promise<FetchResult> {
  const { log, free = freeBytes, makeLink, update = false, onAsk } = options;
  const environment = { ...options.environment, ...model.environment };
  const access = await hubAccess(environment);
  const plan = fetchPlan(model, environment, access);
  if (plan.kind === 'as_is') return { kind: 'ready', source: plan.source, fetchedBytes: 0 };
  const transport = createHubTransport(access, shared.limits);
  try {
    const work = { ...shared, access, transport, free, makeLink, log, update, onAsk };
    const { source, fetchedBytes } = await carryOut(plan, model, work);
    return { kind: 'ready', source, fetchedBytes };
  } catch (error) {
    shared.signal.throwIfAborted();
    if (error instanceof AbsentError) throw error;
    return { kind: 'failed', failure: failureOf(error, shownName(model), access.cacheDirectory) };
  } finally {
    await transport.close();
  }
}

/** Addresses may carry a user and a signature. */
function shownName({ repo, name }: ResolvedModel): string {
  const url = repo === null ? null : URL.parse(repo);
  return url === null ? (repo ?? name) : `${url.protocol}//${url.host}${url.pathname}`;
}

interface Fetched {
  readonly source: LaunchSource;
  readonly fetchedBytes: number;
}

async function carryOut(plan: FetchedPlan, model: ResolvedModel, work: FetchWork): Promise<Fetched> {
  const main = await fetchMain(plan, model, work);
  let { fetchedBytes } = main;
  for (const target of plan.others) fetchedBytes += (await fetchRepository(target, work)).fetchedBytes;
  if (plan.main.kind === 'repository' && main.snapshot !== null)
    fetchedBytes += await fetchNamed(main.snapshot, plan.codeRevision, work);
  const tokenizer = plan.needsTokenizer ? await fetchTokenizer(main, model, work) : null;
  return {
    fetchedBytes: fetchedBytes + (tokenizer?.fetchedBytes ?? 0),
    source: {
      model: main.model,
      tokenizer: tokenizer?.repo ?? null,
      isComplete: plan.isComplete,
      files: main.files,
    },
  };
}

interface FetchedMain {
  readonly model: string;
  /** Paths outside of the cache. */
  readonly files: readonly string[];
  /** Directory of a repository's files; null: it is a file of its own. */
  readonly snapshot: string | null;
  readonly fetchedBytes: number;
}

async function fetchMain({ main }: FetchedPlan, model: ResolvedModel, work: FetchWork): Promise<FetchedMain> {
  switch (main.kind) {
    case 'file': {
      const path = main.paths[0] ?? model.repo ?? '';
      return { model: path, files: main.paths, snapshot: null, fetchedBytes: 0 };
    }
    case 'address': {
      const { path, fetchedBytes } = await fetchAddress(main.address, work);
      return { model: path, files: [], snapshot: null, fetchedBytes };
    }
    case 'gguf': {
      const { snapshot, paths, fetchedBytes } = await fetchRepository(main.target, work);
      const listed = paths.map((path) => ({ path, sizeBytes: 0 }));
      const [first = ''] = ggufPaths(listed, main.choice);
      return { model: join(snapshot, first), files: [], snapshot, fetchedBytes };
    }
    case 'repository': {
      const { snapshot, fetchedBytes } = await fetchRepository(main.target, work);
      return { model: model.repo ?? '', files: [], snapshot, fetchedBytes };
    }
  }
}

/** What the model's configuration names in other repositories. */
async function fetchNamed(snapshot: string, codeRevision: string | null, work: FetchWork): Promise<number> {
  const names = ['config.json', 'tokenizer_config.json', 'processor_config.json', 'preprocessor_config.json'];
  const named = namedRepositories(
    await Promise.all(names.map((name) => readFile(join(snapshot, name), 'utf8').catch(() => ''))),
  );
  const { cacheDirectory } = work.access;
  const targets = [
    ...named.models.map((repo) => ({ repo, revision: 'main', format: 'auto' as const })),
    ...(codeRevision === null ? [] : named.code).map((repo) => ({
      repo,
      revision: codeRevision ?? 'main',
      format: 'none' as const,
    })),
  ];
  let fetchedBytes = 0;
  for (const { repo, revision, format } of targets) {
    const target = { repo, revision, wanted: { kind: 'model' as const, format }, cacheDirectory };
    fetchedBytes += (await fetchRepository(target, work)).fetchedBytes;
  }
  return fetchedBytes;
}

interface FetchedTokenizer {
  readonly repo: string;
  readonly fetchedBytes: number;
}

/** Null, with a warning: vLLM then reads the tokenizer that the file itself has. */
async function fetchTokenizer(
  main: FetchedMain,
  model: ResolvedModel,
  work: FetchWork,
): Promise<FetchedTokenizer | null> {
  const without = (why: string): null => {
    work.log(
      'warn',
      `${model.name}: the tokenizer in the GGUF file is used, ${why}; \`--tokenizer\` names one`,
    );
    return null;
  };
  const card = main.snapshot === null ? null : join(main.snapshot, 'README.md');
  const repo = await ggufBaseModel(main.model, card);
  if (repo === null) return without('because it does not tell which model it was made from');
  try {
    const { cacheDirectory } = work.access;
    const wanted = { kind: 'model', format: 'none' } as const;
    const found = await fetchRepository({ repo, revision: 'main', wanted, cacheDirectory }, work);
    if (!hasTokenizer(found.paths)) return without(`because ${repo} has none`);
    return { repo, fetchedBytes: found.fetchedBytes };
  } catch (error) {
    work.signal.throwIfAborted();
    if (error instanceof AbsentError) throw error;
    return without(`because that of ${repo} cannot be had: ${failureOf(error, repo, '').text}`);
  }
}
