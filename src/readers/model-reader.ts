/**
 * Reads what sizing must know of a model, and never its weights.
 *  1. A path here: the directory or the GGUF file, nothing else.
 *  2. A repository: the snapshot in the Hugging Face cache, if it has all that is needed.
 *  3. Otherwise the hub, unless HF_HUB_OFFLINE: one question for the commit, then what was saved of that commit, or the files'
 *     headers.
 *  4. A hub that cannot be asked, or that answered nothing of late (hub-pause.ts): what was saved of the revision whatever its commit, or a snapshot without weights.
 */
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { failure, type Result, success } from '../core/result.ts';
import type { ModelFacts } from '../sizing/model-facts.ts';
import { savedFacts, saveFacts } from './facts-cache.ts';
import { type HubAccess, hubAccess, type ReachableHub } from './hub-access.ts';
import { createHubFetch } from './hub-fetch.ts';
import { hubCommit, hubFiles } from './hub-files.ts';
import type { HubPause } from './hub-pause.ts';
import { localFiles } from './local-files.ts';
import { type GgufChoice, parseModelName } from './model-name.ts';
import { factsOf, type RawFacts, readRawFacts } from './raw-facts.ts';
import { faultOf, type ReadFault } from './read-fault.ts';

export interface ReadOptions {
  readonly environment: Environment;
  /** Where readings are kept; null: nowhere. */
  readonly stateDirectory: string | null;
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string | undefined;
  /** For everything that goes over the network, together. */
  readonly timeLimitMs?: number | undefined;
  /** Shared by readings, so that one hub without an answer does not delay each of them. */
  readonly pause?: HubPause | undefined;
}

export interface ReadFacts {
  readonly facts: ModelFacts;
  /** Where they come from, for people. */
  readonly origin: string;
  /** Commit of the repository, where there is one. */
  readonly commit: string | null;
}

const TIME_LIMIT_MS = 60_000;

export async function readModelFacts(
  repo: string,
  options: ReadOptions,
): Promise<Result<ReadFacts, ReadFault>> {
  const name = parseModelName(repo, existsSync);
  if (name === null)
    return failure({ kind: 'not_found', text: `${repo} is neither a path nor the name of a repository` });
  if (name.kind === 'path') return readPath(name.path);
  const revision = options.revision ?? name.revision ?? 'main';
  return readRepository({ repo: name.repo, gguf: name.gguf, revision }, options);
}

async function readPath(path: string): Promise<Result<ReadFacts, ReadFault>> {
  try {
    const isFile = (await stat(path)).isFile();
    const files = localFiles(isFile ? dirname(path) : path);
    const raw = await readRawFacts(files, isFile ? { kind: 'file', path: basename(path) } : null);
    return described(raw, path, null, path);
  } catch (error) {
    return failure(faultOf(error, path));
  }
}

interface Wanted {
  readonly repo: string;
  readonly gguf: GgufChoice | null;
  readonly revision: string;
}

interface Snapshot {
  readonly commit: string;
  readonly raw: RawFacts;
}

async function readRepository(wanted: Wanted, options: ReadOptions): Promise<Result<ReadFacts, ReadFault>> {
  const { repo } = wanted;
  const access = await hubAccess(options.environment);
  const snapshot = await cachedSnapshot(access, wanted);
  const fromSnapshot = (found: Snapshot) =>
    described(found.raw, 'the Hugging Face cache', found.commit, repo);
  if (snapshot !== null && snapshot.raw.tensors !== null) return fromSnapshot(snapshot);
  const read = access.isOffline ? failure(offlineFault(repo)) : await readHub(access, wanted, options);
  if (read.ok) return described(read.value.raw, read.value.origin, read.value.commit, repo);
  const { kind } = read.error;
  if (kind === 'malformed' || kind === 'too_large') return read;
  if (snapshot !== null) return fromSnapshot(snapshot);
  const saved = await savedReading(wanted, access, options);
  return saved === null
    ? read
    : described(saved.raw, `an earlier reading (${read.error.text})`, saved.commit, repo);
}

function offlineFault(repo: string): ReadFault {
  return {
    kind: 'offline',
    text: `${repo} is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids to ask the hub`,
  };
}

function described(
  raw: RawFacts,
  origin: string,
  commit: string | null,
  label: string,
): Result<ReadFacts, ReadFault> {
  const facts = factsOf(raw, label);
  return facts.ok ? success({ facts: facts.value, origin, commit }) : facts;
}

/** What a download left: `refs/<revision>` names the commit, `snapshots/<commit>` has the files. */
async function cachedSnapshot(access: HubAccess, { repo, gguf, revision }: Wanted): Promise<Snapshot | null> {
  // A revision is part of a path here, and must not lead out of it.
  if (revision.split('/').includes('..')) return null;
  const directory = join(access.cacheDirectory, `models--${repo.replaceAll('/', '--')}`);
  const told = await readFile(join(directory, 'refs', revision), 'utf8').catch(() => revision);
  const commit = told.trim();
  if (!/^[\w.-]{1,128}$/.test(commit) || !existsSync(join(directory, 'snapshots', commit))) return null;
  try {
    return { commit, raw: await readRawFacts(localFiles(join(directory, 'snapshots', commit)), gguf) };
  } catch {
    // A download that was broken off, or files that went away meanwhile: the hub knows better.
    return null;
  }
}

function savedKey({ endpoint }: HubAccess, { repo, gguf, revision }: Wanted): string {
  return JSON.stringify([endpoint, repo, revision, gguf]);
}

function savedReading(
  wanted: Wanted,
  access: HubAccess,
  { stateDirectory }: ReadOptions,
): Promise<Snapshot | null> {
  return stateDirectory === null
    ? Promise.resolve(null)
    : savedFacts(stateDirectory, savedKey(access, wanted));
}

interface HubReading extends Snapshot {
  readonly origin: string;
}

async function readHub(
  access: HubAccess,
  wanted: Wanted,
  options: ReadOptions,
): Promise<Result<HubReading, ReadFault>> {
  const { endpoint } = access;
  if (endpoint === null)
    return failure({ kind: 'unreachable', text: 'HF_ENDPOINT is not an http or https address' });
  const paused = options.pause?.faultOf(access) ?? null;
  return paused === null ? askHub({ ...access, endpoint }, wanted, options) : failure(paused);
}

async function askHub(
  access: ReachableHub,
  wanted: Wanted,
  options: ReadOptions,
): Promise<Result<HubReading, ReadFault>> {
  const { repo, revision, gguf } = wanted;
  const { pause, stateDirectory, timeLimitMs = TIME_LIMIT_MS } = options;
  const hub = createHubFetch(access, repo, AbortSignal.timeout(timeLimitMs));
  try {
    const commit = await hubCommit(access, repo, revision, hub.fetch);
    const saved = await savedReading(wanted, access, options);
    if (saved?.commit === commit) return success({ ...saved, origin: 'an earlier reading' });
    const raw = await readRawFacts(hubFiles(access, repo, commit, hub.fetch), gguf);
    if (stateDirectory !== null) await saveFacts(stateDirectory, savedKey(access, wanted), { commit, raw });
    return success({ commit, raw, origin: access.endpoint });
  } catch (error) {
    const fault = faultOf(error, repo);
    if (!hub.answered() && (fault.kind === 'timeout' || fault.kind === 'unreachable'))
      pause?.wasSilent(access, fault);
    return failure(fault);
  } finally {
    if (hub.answered()) pause?.answered(access);
    await hub.close();
  }
}
