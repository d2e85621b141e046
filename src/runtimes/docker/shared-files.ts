/**
 * Do Docker's host and we see the same files? A container is made (and never started) with one of our directories, and
 * Docker is asked for a file in it: only the same file system gives back what we have just written. The same kernel is
 * needed too, because a socket's file without its kernel leads nowhere (Docker Desktop's machine shares files).
 */
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { DockerConnection } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { launchIdIn, STATE_ID_LABEL } from './marks.ts';
import type { PathMap } from './path-map.ts';

const PROBE_TARGET = '/probe';
/** A tar archive without files: two blocks of zeros. */
const EMPTY_ARCHIVE = Buffer.alloc(1024);
const ANSWER_BYTES_MAX = 64 * 1024;
const CLEAN_UP_LIMIT_MS = 10_000;

/** The error is a sentence. Rejects never. */
export async function sharesFiles(
  connection: DockerConnection,
  directory: string,
  toSource: PathMap,
  stateId: string,
  kernelOfDocker: string,
): Promise<Result<void, string>> {
  if (process.platform !== 'linux' || kernelOfDocker !== release()) {
    return failure('Docker runs on another kernel (a virtual machine, or another host)');
  }
  const source = toSource(directory);
  if (!source.ok) return source;
  const name = `probe-${randomBytes(6).toString('hex')}`;
  const secret = randomBytes(16).toString('hex');
  const cleanUps: (() => Promise<unknown>)[] = [];
  try {
    // What cannot be removed now is tried again by the next gateway.
    await removeLeftProbes(connection, stateId).catch(() => undefined);
    await writeFile(join(directory, name), secret);
    cleanUps.push(() => rm(join(directory, name), { force: true }));
    const answer = await readThroughDocker(connection, source.value, name, stateId, cleanUps);
    if (answer.includes(secret)) return success(undefined);
    return failure(`Docker's host has other files at ${source.value} than we have at ${directory}`);
  } catch (error) {
    return failure(`Docker's host cannot be shown ${source.value}: ${faultOf(error).text}`);
  } finally {
    for (const cleanUp of cleanUps.reverse()) await cleanUp().catch(() => undefined);
  }
}

async function readThroughDocker(
  { docker, call }: DockerConnection,
  source: string,
  name: string,
  stateId: string,
  cleanUps: (() => Promise<unknown>)[],
): Promise<Buffer> {
  const imported = await call((abortSignal) =>
    docker.importImage(Readable.from([EMPTY_ARCHIVE]), {
      changes: `LABEL ${STATE_ID_LABEL}=${stateId}`,
      abortSignal,
    }),
  );
  const imageId = /sha256:[0-9a-f]{64}/.exec((await readAll(imported as Readable)).toString('utf8'))?.[0];
  if (imageId === undefined) throw new Error('it imports no images');
  cleanUps.push(() =>
    call((abortSignal) => docker.getImage(imageId).remove({ abortSignal }), CLEAN_UP_LIMIT_MS),
  );
  const container = await call((abortSignal) =>
    docker.createContainer({
      Image: imageId,
      Cmd: ['/none'],
      Labels: { [STATE_ID_LABEL]: stateId },
      HostConfig: {
        NetworkMode: 'none',
        Mounts: [{ Type: 'bind', Source: source, Target: PROBE_TARGET, ReadOnly: true }],
      },
      abortSignal,
    }),
  );
  cleanUps.push(() =>
    call((abortSignal) => container.remove({ force: true, abortSignal }), CLEAN_UP_LIMIT_MS),
  );
  const archive = await call((abortSignal) =>
    container.getArchive({ path: `${PROBE_TARGET}/${name}`, abortSignal }),
  );
  return await readAll(archive as Readable);
}

/** Of a gateway that was killed while it looked: no other looks with our state id at the same time. */
async function removeLeftProbes({ docker, call }: DockerConnection, stateId: string): Promise<void> {
  const filters = { label: [`${STATE_ID_LABEL}=${stateId}`] };
  const containers = await call((abortSignal) => docker.listContainers({ all: true, filters, abortSignal }));
  for (const { Id, Labels } of containers) {
    if (launchIdIn(Labels) !== null) continue;
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
