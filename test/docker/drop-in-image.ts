/**
 * The gateway's image, built by deploy/Dockerfile in the tests' Docker as a user builds it, but for the base image and the way
 * to the registry of npm packages. What was built is kept outside of the checkout, by a hash of all that goes in.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { programPath } from '../../tools/docker-lab/components.ts';
import { cacheDirectory, importArchive } from '../../tools/docker-lab/images.ts';
import type { DockerWorld } from './docker-world.ts';
import { baseArchive } from './drop-in-base.ts';
import { proxyTo } from './drop-in-relay.ts';

const ROOT = path.dirname(path.dirname(import.meta.dirname));
const DOCKERFILE = 'deploy/Dockerfile';
const BASE_IMAGE = 'vgt:debian-node';
const CONTEXT_BYTES_MAX = 64 * 1024 * 1024;
const BUILD_LIMIT_MS = 4 * 60_000;
/** One for each of a few checkouts. */
const KEPT_BUILDS = 3;
const NAME = 'gateway-image-';

export type BuiltImage =
  | { readonly kind: 'built'; readonly seconds: number | null }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Makes the image `tag` in the tests' Docker. `seconds`: of the build; null where it was kept from before. */
export async function gatewayImage(world: DockerWorld, tag: string): Promise<BuiltImage> {
  const base = baseArchive();
  if (base.kind === 'unavailable') return base;
  const sources = contextFiles();
  const file = path.join(cacheDirectory(), `${NAME}${keyOf(base.file, sources)}.tar`);
  if (existsSync(file)) {
    await load(world, file);
    return { kind: 'built', seconds: null };
  }
  const startMs = performance.now();
  await importArchive(world.docker, base.file, BASE_IMAGE);
  const failure = await build(world, tag, sources);
  // Without the registry there is nothing to try; whatever else fails is our fault.
  if (failure !== null && !ASKS_REGISTRY.test(failure.step)) throw new Error(failure.text);
  if (failure !== null) return { kind: 'unavailable', reason: failure.text };
  const seconds = (performance.now() - startMs) / 1000;
  await save(world, tag, file);
  return { kind: 'built', seconds };
}

/**
 * What `docker build` sends: by .dockerignore nothing but what it names, and no tests; of that what Git knows or would know.
 * The Dockerfile itself always goes along.
 */
function contextFiles(): readonly string[] {
  const listing = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const listed = execFileSync('git', listing, { cwd: ROOT, encoding: 'utf8' }).split('\0');
  const named = readFileSync(path.join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  const isSent = (name: string): boolean =>
    named.some((one) => name === one || name.startsWith(`${one}/`)) && !name.endsWith('.test.ts');
  const known = [...new Set(listed)].filter((name) => isSent(name) && existsSync(path.join(ROOT, name)));
  return [DOCKERFILE, ...known.toSorted()];
}

function keyOf(base: string, sources: readonly string[]): string {
  const hash = createHash('sha256').update(path.basename(base));
  for (const name of sources) hash.update(`${name}\n`).update(readFileSync(path.join(ROOT, name)));
  return hash.digest('hex').slice(0, 16);
}

interface BuildFailure {
  /** The last line of the Dockerfile that was begun. */
  readonly step: string;
  /** With the last lines of the build. */
  readonly text: string;
}

const ASKS_REGISTRY = /npm ci /;

/** Null where it succeeds. */
async function build(
  { docker, daemon }: DockerWorld,
  tag: string,
  sources: readonly string[],
): Promise<BuildFailure | null> {
  const registry = npmRegistry();
  const proxy = await proxyTo(daemon, new URL(registry));
  try {
    const context = execFileSync('tar', ['-cz', '-C', ROOT, '--null', '-T', '-'], {
      input: sources.join('\0'),
      maxBuffer: CONTEXT_BYTES_MAX,
    });
    const stream = (await docker.buildImage(Readable.from([context]), {
      dockerfile: DOCKERFILE,
      t: tag,
      networkmode: 'host',
      buildargs: { BASE_IMAGE, npm_config_registry: registry, HTTPS_PROXY: proxy.url },
      abortSignal: AbortSignal.timeout(BUILD_LIMIT_MS),
    })) as Readable;
    return await failureIn(stream);
  } finally {
    proxy.close();
  }
}

function npmRegistry(): string {
  const registry = execFileSync(programPath('npm'), ['config', 'get', 'registry'], { encoding: 'utf8' });
  return registry.trim();
}

const LINES_TOLD = 12;

async function failureIn(stream: Readable): Promise<BuildFailure | null> {
  let step = '';
  const told: string[] = [];
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines.filter((one) => one.trim() !== '')) {
      const { stream: text = '', error } = JSON.parse(line) as {
        readonly stream?: string;
        readonly error?: string;
      };
      if (text.startsWith('Step ')) step = text;
      if (text.trim() !== '') told.push(text.trim());
      if (error !== undefined) {
        const last = [`the image cannot be built: ${error}`, ...told.slice(-LINES_TOLD)];
        return { step, text: last.join('\n') };
      }
    }
  }
  return null;
}

async function save({ docker }: DockerWorld, tag: string, file: string): Promise<void> {
  const unfinished = `${file}.${process.pid}.tmp`;
  await pipeline((await docker.getImage(tag).get()) as Readable, createWriteStream(unfinished));
  renameSync(unfinished, file);
  const directory = cacheDirectory();
  const kept = readdirSync(directory)
    .filter((name) => name.startsWith(NAME) && name.endsWith('.tar'))
    .map((name) => path.join(directory, name))
    .toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const old of kept.slice(KEPT_BUILDS)) rmSync(old, { force: true });
}

async function load({ docker }: DockerWorld, file: string): Promise<void> {
  const stream = (await docker.loadImage(createReadStream(file))) as Readable;
  const failure = await failureIn(stream);
  if (failure !== null) throw new Error(failure.text);
}
