/**
 * Do Docker's host and we see the same files? A container is made (and never started) with one of our directories, and
 * Docker is asked for a file in it: only the same file system gives back what is in it here. The same kernel is needed too,
 * because a socket's file without its kernel leads nowhere (Docker Desktop's machine shares files).
 *
 * That they differ is a fact; that it could not be tried (a full disk, a busy daemon) is none. It is then tried again, and
 * after that an earlier answer counts, or an engine whose socket is in our directory.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { Log } from '../../telemetry/log.ts';
import type { DockerConnection } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { launchIdIn, PROBE_LABEL, REACH_LABEL, STATE_ID_LABEL } from './marks.ts';
import type { PathMap } from './path-map.ts';
import type { SocketDirectories } from './socket-directories.ts';

const PROBE_TARGET = '/probe';
/** A tar archive without files: two blocks of zeros. */
const EMPTY_ARCHIVE = Buffer.alloc(1024);
const ANSWER_BYTES_MAX = 64 * 1024;
const CLEAN_UP_LIMIT_MS = 10_000;
const TRIES_MAX = 3;
const RETRY_MS = 1_000;
/** Kept beside the directory once Docker has shown what is in it: in it stand launches alone. */
const KEPT_SUFFIX = '-shared.json';

export interface SharedFilesQuestion {
  readonly connection: DockerConnection;
  readonly sockets: SocketDirectories;
  readonly toSource: PathMap;
  readonly stateId: string;
  /** An image that may be there. */
  readonly image: string;
  readonly kernelOfDocker: string;
  /** As the daemon calls itself; it stays the same over restarts. */
  readonly daemonId: string;
  readonly log: Log;
}

type Tried =
  | { readonly kind: 'shared' }
  | { readonly kind: 'apart'; readonly detail: string }
  | { readonly kind: 'untried'; readonly detail: string };

/** The error is a sentence. Rejects never. */
export async function sharesFiles(question: SharedFilesQuestion): Promise<Result<void, string>> {
  const { connection, sockets, toSource, stateId, kernelOfDocker, log } = question;
  if (process.platform !== 'linux' || kernelOfDocker !== release()) {
    return failure('Docker runs on another kernel (a virtual machine, or another host)');
  }
  const source = toSource(sockets.root);
  if (!source.ok) return source;
  // What cannot be removed now is tried again by the next gateway.
  await removeLeftProbes(connection, stateId).catch(() => undefined);
  let detail = '';
  for (let attempt = 1; attempt <= TRIES_MAX; attempt += 1) {
    if (attempt > 1) await sleep(RETRY_MS);
    const tried = await tryOnce(question, source.value);
    if (tried.kind === 'apart') {
      await rm(`${sockets.root}${KEPT_SUFFIX}`, { force: true }).catch(() => undefined);
      return failure(tried.detail);
    }
    if (tried.kind === 'shared') {
      await keepAnswer(question, source.value);
      return success(undefined);
    }
    detail = tried.detail;
  }
  const because = await earlierEvidence(question, source.value);
  if (because === null)
    return failure(`it could not be tried whether Docker's host sees ${source.value}: ${detail}`);
  log(
    'warn',
    `it could not be tried whether Docker's host sees ${source.value} (${detail}): it does, because ${because}`,
  );
  return success(undefined);
}

async function tryOnce(question: SharedFilesQuestion, source: string): Promise<Tried> {
  const { root } = question.sockets;
  const name = `probe-${randomBytes(6).toString('hex')}`;
  const secret = randomBytes(16).toString('hex');
  const cleanUps: (() => Promise<unknown>)[] = [];
  try {
    cleanUps.push(() => rm(join(root, name), { force: true }));
    await writeFile(join(root, name), secret);
    const answer = await readThroughDocker(question, source, name, cleanUps);
    if (answer?.includes(secret) === true) return { kind: 'shared' };
    return { kind: 'apart', detail: `Docker's host has other files at ${source} than we have at ${root}` };
  } catch (error) {
    const { text } = faultOf(error);
    const detail = `Docker's host cannot be shown ${source}: ${text}`;
    return { kind: NOT_THERE.test(text) ? 'apart' : 'untried', detail };
  } finally {
    for (const cleanUp of cleanUps.reverse()) await cleanUp().catch(() => undefined);
  }
}

const NOT_THERE = /bind source path does not exist|invalid mount config/i;

/** Null: there is no such file on Docker's host. */
async function readThroughDocker(
  question: SharedFilesQuestion,
  source: string,
  name: string,
  cleanUps: (() => Promise<unknown>)[],
): Promise<Buffer | null> {
  const { connection, stateId } = question;
  const { docker, call } = connection;
  const image = await anyImage(question, cleanUps);
  const container = await call((abortSignal) =>
    docker.createContainer({
      Image: image,
      Entrypoint: ['/none'],
      Labels: { [PROBE_LABEL]: stateId, [STATE_ID_LABEL]: stateId },
      HostConfig: {
        NetworkMode: 'none',
        Mounts: [{ Type: 'bind', Source: source, Target: PROBE_TARGET, ReadOnly: true }],
      },
      abortSignal,
    }),
  );
  cleanUps.push(() =>
    call((abortSignal) => container.remove({ force: true, v: true, abortSignal }), CLEAN_UP_LIMIT_MS),
  );
  try {
    const path = `${PROBE_TARGET}/${name}`;
    return await readAll(
      (await call((abortSignal) => container.getArchive({ path, abortSignal }))) as Readable,
    );
  } catch (error) {
    if (faultOf(error).status === 404) return null;
    throw error;
  }
}

/** What is there costs no disk; else an empty one is made. */
async function anyImage(
  { connection, image, stateId }: SharedFilesQuestion,
  cleanUps: (() => Promise<unknown>)[],
): Promise<string> {
  const { docker, call } = connection;
  const found = await call((abortSignal) =>
    docker.listImages({ filters: { reference: [image] }, abortSignal }),
  );
  if (found[0] !== undefined) return found[0].Id;
  const imported = await call((abortSignal) =>
    docker.importImage(Readable.from([EMPTY_ARCHIVE]), {
      changes: `LABEL ${PROBE_LABEL}=${stateId}`,
      abortSignal,
    }),
  );
  const imageId = /sha256:[0-9a-f]{64}/.exec((await readAll(imported as Readable)).toString('utf8'))?.[0];
  if (imageId === undefined) throw new Error('it imports no images');
  cleanUps.push(() =>
    call((abortSignal) => docker.getImage(imageId).remove({ abortSignal }), CLEAN_UP_LIMIT_MS),
  );
  return imageId;
}

/** Why it can be believed all the same; null: nothing says so. */
async function earlierEvidence(question: SharedFilesQuestion, source: string): Promise<string | null> {
  const { connection, sockets, stateId } = question;
  const kept = await readFile(`${sockets.root}${KEPT_SUFFIX}`, 'utf8').catch(() => '');
  if (kept === answerText(question, source)) return 'an earlier gateway has tried it with this Docker';
  const label = [`${STATE_ID_LABEL}=${stateId}`, `${REACH_LABEL}=socket`];
  const running = await connection
    .call((abortSignal) => connection.docker.listContainers({ filters: { label }, abortSignal }))
    .catch(() => []);
  const isSeen = running.some(({ Labels }) => {
    const launchId = launchIdIn(Labels);
    return launchId !== null && existsSync(sockets.socketPath(launchId));
  });
  return isSeen ? 'the socket of an engine that runs is there' : null;
}

async function keepAnswer(question: SharedFilesQuestion, source: string): Promise<void> {
  const path = `${question.sockets.root}${KEPT_SUFFIX}`;
  const text = answerText(question, source);
  if ((await readFile(path, 'utf8').catch(() => '')) === text) return;
  await writeFile(path, text).catch(() => undefined);
}

function answerText({ connection, daemonId, stateId }: SharedFilesQuestion, source: string): string {
  return `${JSON.stringify({ host: connection.host, daemonId, stateId, source })}\n`;
}

/** Of a gateway that was killed while it looked: no other looks with our state id at the same time. */
async function removeLeftProbes({ docker, call }: DockerConnection, stateId: string): Promise<void> {
  const filters = { label: [`${PROBE_LABEL}=${stateId}`] };
  const containers = await call((abortSignal) => docker.listContainers({ all: true, filters, abortSignal }));
  for (const { Id } of containers) {
    await call((abortSignal) => docker.getContainer(Id).remove({ force: true, v: true, abortSignal }));
  }
  const images = await call((abortSignal) => docker.listImages({ filters, abortSignal }));
  for (const { Id } of images) await call((abortSignal) => docker.getImage(Id).remove({ abortSignal }));
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error('its answer is too long');
  }
  return Buffer.concat(chunks);
}
