/** `vllm-gateway cache`: what the Hugging Face cache holds, for which models, and what broken downloads have left in it. */
import { readdir } from 'node:fs/promises';
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { hubAccess } from '../readers/hub-access.ts';
import { byteText } from '../weights/byte-text.ts';
import {
  type CachedRepository,
  type CachedRevision,
  type CacheScan,
  completenessText,
  type Leftover,
  pruneLeftovers,
  scanCache,
} from '../weights/cache-scan.ts';
import { freeBytes } from '../weights/disk-space.ts';
import { fetchPlan } from '../weights/fetch-plan.ts';
import type { RepositoryTarget } from '../weights/repository-fetch.ts';
import type { TextWriter } from './check.ts';
import { columns } from './text-layout.ts';

export interface CacheCommand {
  readonly file?: string | undefined;
  readonly json?: boolean | undefined;
  /** Remove what broken downloads have left. */
  readonly prune?: boolean | undefined;
  readonly environment: Environment;
}

interface CacheReport {
  readonly scan: CacheScan;
  /** Why the directory cannot be looked into; null: it can, or is not there. */
  readonly unreadable: string | null;
  /** Null: the file system does not tell. */
  readonly freeBytes: number | null;
  readonly uses: readonly Use[];
}

/** A configured model that reads a repository. */
interface Use {
  readonly model: string;
  readonly target: RepositoryTarget;
}

interface Gathered {
  readonly reports: readonly CacheReport[];
  /** Of the configuration: for whom things are in the cache is not told then. */
  readonly faults: readonly string[];
}

/** The exit code: 0 also for an empty cache; 1 where the configuration has faults, or a cache cannot be looked into. */
export async function runCache(options: CacheCommand, output: TextWriter): Promise<number> {
  const { reports, faults } = await gather(options);
  const pruned = options.prune === true ? await prune(reports) : null;
  const shown = pruned === null ? reports : (await gather(options)).reports;
  if (options.json === true) {
    const told = {
      caches: shown.map(jsonReport),
      ...(pruned ?? {}),
      ...(faults.length > 0 ? { faults } : {}),
    };
    output.write(`${JSON.stringify(told, null, 2)}\n`);
  } else {
    if (faults.length > 0) output.write(`${faults.join('\n')}\n\n`);
    const lines = shown.flatMap((report) => [...textReport(report, options.prune === true), '']);
    const removed =
      pruned === null
        ? []
        : [
            `${counted(pruned.removed, 'leftover')} of broken downloads removed, ${byteText(pruned.removed_bytes)}; ${pruned.in_use} may be in use and stay.`,
          ];
    output.write(`${[...lines, ...removed].join('\n').trimEnd()}\n`);
  }
  return faults.length > 0 || shown.some(({ unreadable }) => unreadable !== null) ? 1 : 0;
}

/** The gateway's own cache first, then those that models name. */
async function gather({ file, environment }: CacheCommand): Promise<Gathered> {
  const loaded = await loadConfig({ file, environment });
  const models = loaded.ok ? [...loaded.value.models.values()] : [];
  const own = (await hubAccess(environment)).cacheDirectory;
  const uses = (await Promise.all(models.map((model) => usesOf(model, environment)))).flat();
  const directories = new Set([own, ...uses.map(({ target }) => target.cacheDirectory)]);
  const reports = await Promise.all(
    [...directories].map(async (directory) => ({
      scan: await scanCache(directory),
      unreadable: await unreadableBecause(directory),
      freeBytes: await freeBytes(directory).catch(() => null),
      uses: uses.filter(({ target }) => target.cacheDirectory === directory),
    })),
  );
  return { reports, faults: loaded.ok ? [] : loaded.error.map(formatFault) };
}

/** A cache that is not there is an empty one. */
async function unreadableBecause(directory: string): Promise<string | null> {
  try {
    await readdir(directory);
    return null;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? null : (code ?? message);
  }
}

async function usesOf(model: ResolvedModel, environment: Environment): Promise<readonly Use[]> {
  const merged = { ...environment, ...model.environment };
  // Also where the gateway does not fetch, the engine reads the cache.
  const plan = fetchPlan({ ...model, fetch: true }, merged, await hubAccess(merged));
  if (plan.kind === 'as_is') return [];
  const { main, others } = plan;
  const targets = main.kind === 'repository' || main.kind === 'gguf' ? [main.target, ...others] : others;
  return targets.map((target) => ({ model: model.name, target }));
}

interface Pruned {
  readonly removed: number;
  readonly removed_bytes: number;
  readonly in_use: number;
}

async function prune(reports: readonly CacheReport[]): Promise<Pruned> {
  const done = await pruneLeftovers(
    reports.flatMap(({ scan }) => scan.leftovers),
    Date.now(),
  );
  const removed = done.filter(({ outcome }) => outcome === 'removed').map(({ leftover }) => leftover);
  return { removed: removed.length, removed_bytes: sum(removed), in_use: done.length - removed.length };
}

function sum(sized: readonly { readonly sizeBytes: number }[]): number {
  return sized.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

function usersOf({ uses }: CacheReport, repo: string, revision: CachedRevision): string[] {
  const users = uses.filter(
    ({ target }) =>
      target.repo === repo &&
      (revision.names.includes(target.revision) || revision.commit === target.revision),
  );
  return [...new Set(users.map(({ model }) => model))];
}

function jsonReport(report: CacheReport): object {
  const { scan } = report;
  return {
    directory: scan.directory,
    unreadable: report.unreadable,
    size_bytes: sum(scan.repositories) + sum(scan.files),
    free_bytes: report.freeBytes,
    repositories: scan.repositories.map(({ repo, sizeBytes, lastUsedMs, revisions }) => ({
      repo,
      size_bytes: sizeBytes,
      last_used: lastUsedMs === null ? null : new Date(lastUsedMs).toISOString(),
      revisions: revisions.map((revision) => ({
        commit: revision.commit,
        names: revision.names,
        size_bytes: revision.sizeBytes,
        files: revision.files,
        complete: revision.completeness.kind !== 'missing',
        state: completenessText(revision.completeness),
        models: usersOf(report, repo, revision),
      })),
    })),
    files: scan.files.map(({ path, sizeBytes, lastUsedMs }) => ({
      path,
      size_bytes: sizeBytes,
      last_used: new Date(lastUsedMs).toISOString(),
    })),
    leftovers: scan.leftovers.map(({ of, path, sizeBytes, changedMs }) => ({
      of,
      path,
      size_bytes: sizeBytes,
      changed: new Date(changedMs).toISOString(),
    })),
  };
}

function textReport(report: CacheReport, isPruning: boolean): readonly string[] {
  const { scan, unreadable } = report;
  if (unreadable !== null) return [`${scan.directory}: cannot be looked into (${unreadable})`];
  const total = byteText(sum(scan.repositories) + sum(scan.files));
  const free = report.freeBytes === null ? '' : `, ${byteText(report.freeBytes)} free on its disk`;
  const what = counted(scan.repositories.length, 'repository', 'repositories');
  return [
    `${scan.directory}: ${total} in ${what}${free}`,
    ...columns([
      ...scan.repositories.flatMap((repository) => repositoryRows(report, repository)),
      ...scan.files.map(({ path, sizeBytes, lastUsedMs }) => [
        path,
        '',
        byteText(sizeBytes),
        '1 file',
        day(lastUsedMs),
        'complete',
      ]),
    ]),
    ...leftoverLines(scan.leftovers, isPruning),
  ];
}

function repositoryRows(report: CacheReport, repository: CachedRepository): readonly (readonly string[])[] {
  const { repo, revisions, sizeBytes, lastUsedMs } = repository;
  const used = lastUsedMs === null ? '' : day(lastUsedMs);
  if (revisions.length === 0) return [[repo, '', byteText(sizeBytes), '', used, 'empty']];
  return revisions.map((revision) => {
    const users = usersOf(report, repo, revision);
    const state = completenessText(revision.completeness);
    const name = revision.names.length === 0 ? revision.commit.slice(0, 12) : revision.names.join(', ');
    const files = counted(revision.files, 'file');
    const models = users.length === 0 ? '' : `; ${users.join(', ')}`;
    return [repo, name, byteText(revision.sizeBytes), files, used, `${state}${models}`];
  });
}

function leftoverLines(leftovers: readonly Leftover[], isPruning: boolean): readonly string[] {
  if (leftovers.length === 0) return [];
  const remedy = isPruning ? '' : ' (a fetch goes on with them; `vllm-gateway cache --prune` removes them)';
  return [
    `${counted(leftovers.length, 'leftover')} of broken downloads, ${byteText(sum(leftovers))}${remedy}:`,
    ...columns(
      leftovers.map(({ of, sizeBytes, changedMs }) => [
        of,
        byteText(sizeBytes),
        `last came ${day(changedMs)}`,
      ]),
    ),
  ];
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function counted(count: number, one: string, many = `${one}s`): string {
  return count === 1 ? `1 ${one}` : `${count} ${many}`;
}
