/** What an engine's container sees of Docker's host: caches, the model's files, its own socket directory. Pure. */
import { join } from 'node:path';
import type { MountSettings } from 'dockerode';
import type { DockerConfig } from '../../config/resolved-config.ts';
import type { Result } from '../../core/result.ts';
import { failure, success } from '../../core/result.ts';
import type { LaunchSpec } from '../runtime.ts';
import type { PathMap } from './path-map.ts';

/** Where the root user of an image has its Hugging Face cache. */
const HUGGING_FACE_TARGET = '/root/.cache/huggingface';
/** Where other users may enter. */
const HUGGING_FACE_TARGET_OF_USER = '/var/cache/huggingface';
/** Snapshots, below Hugging Face's directory. */
const HUB = 'hub';
/**
 * Of our own cache an engine gets the snapshots alone: beside them lie the operator's tokens. What else its libraries keep
 * below HF_HOME goes to a place that every user of an image may write: Docker makes a mount's parents for root.
 */
const HUGGING_FACE_SCRATCH = '/tmp/vllm-gateway/huggingface';
const COMPILE_TARGET = '/var/cache/vllm-gateway';
const COMPILE_VOLUME = 'vllm-gateway-compile-cache';

/** A directory of ours that the container gets at `target`. */
export interface SocketMount {
  readonly directory: string;
  readonly target: string;
}

export interface EngineMounts {
  readonly mounts: readonly MountSettings[];
  /** Variables that name the places, where the launch does not name its own. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface MountInputs {
  readonly config: DockerConfig;
  readonly spec: Pick<LaunchSpec, 'environment' | 'files'>;
  /** Where the snapshots lie that we fetch. */
  readonly hubCache: string;
  readonly socket: SocketMount | null;
  readonly toSource: PathMap;
}

/** The error is a sentence that says which path cannot be given to engines, and what to do. */
export function engineMounts(inputs: MountInputs): Result<EngineMounts, string> {
  const { config, spec, socket, toSource } = inputs;
  const mounts: MountSettings[] = [];
  const isUsers = config.user !== null;
  const huggingFaceTarget =
    spec.environment.HF_HOME ?? (isUsers ? HUGGING_FACE_TARGET_OF_USER : HUGGING_FACE_TARGET);
  const cache = huggingFaceMount(inputs, huggingFaceTarget);
  if (!cache.ok) return cache;
  mounts.push(cache.value);
  // A fresh volume belongs to root, and an engine that cannot write there fails.
  const compile = config.compileCache ?? (isUsers ? null : COMPILE_VOLUME);
  if (compile !== null) mounts.push(mountOf(compile, COMPILE_TARGET, false));
  for (const text of config.volumes) {
    const volume = parseVolume(text);
    if (!volume.ok) return volume;
    mounts.push(volume.value);
  }
  for (const path of new Set(spec.files)) {
    const source = toSource(path);
    if (!source.ok) return failure(`the engine cannot be given ${path}: ${source.error}`);
    mounts.push(mountOf(source.value, path, true));
  }
  if (socket !== null) {
    const source = toSource(socket.directory);
    if (!source.ok) return failure(`the engine cannot be given its socket directory: ${source.error}`);
    mounts.push(mountOf(source.value, socket.target, false));
  }
  const environment = {
    HF_HOME: huggingFaceTarget,
    ...(config.huggingFaceCache === null ? scratchVariables() : {}),
    ...(compile === null ? {} : compileVariables()),
  };
  return success({ mounts: withoutRepeats(mounts), environment });
}

/** A configured cache is the operator's gift as a whole; it may be a volume, of which no part can be mounted. */
function huggingFaceMount(
  { config, hubCache, toSource }: MountInputs,
  target: string,
): Result<MountSettings, string> {
  if (config.huggingFaceCache !== null) return success(mountOf(config.huggingFaceCache, target, false));
  const source = toSource(hubCache);
  if (source.ok) return success(mountOf(source.value, join(target, HUB), false));
  return failure(
    `engines cannot be given the Hugging Face cache: ${source.error}; or name the directory of Docker's host in \`runtime.docker.hugging_face_cache\` (HOST_CACHE_DIR)`,
  );
}

function scratchVariables(): Readonly<Record<string, string>> {
  return {
    HF_MODULES_CACHE: `${HUGGING_FACE_SCRATCH}/modules`,
    HF_ASSETS_CACHE: `${HUGGING_FACE_SCRATCH}/assets`,
    HF_XET_CACHE: `${HUGGING_FACE_SCRATCH}/xet`,
  };
}

function compileVariables(): Readonly<Record<string, string>> {
  return {
    VLLM_CACHE_ROOT: `${COMPILE_TARGET}/vllm`,
    TRITON_CACHE_DIR: `${COMPILE_TARGET}/triton`,
    TORCHINDUCTOR_CACHE_DIR: `${COMPILE_TARGET}/inductor`,
    FLASHINFER_WORKSPACE_BASE: COMPILE_TARGET,
  };
}

/** `source:target[:ro|rw]`, as `docker run -v` takes it. */
export function parseVolume(text: string): Result<MountSettings, string> {
  const [source = '', target = '', mode = 'rw', ...more] = text.split(':');
  if (source === '' || !target.startsWith('/') || more.length > 0 || !['ro', 'rw'].includes(mode)) {
    return failure(`\`${text}\` is no volume: write source:/target or source:/target:ro`);
  }
  return success(mountOf(source, target, mode === 'ro'));
}

/** A source with a slash in front is a directory or a file of Docker's host, any other the name of a volume. */
function mountOf(source: string, target: string, isReadOnly: boolean): MountSettings {
  return {
    Type: source.startsWith('/') ? 'bind' : 'volume',
    Source: source,
    Target: target,
    ReadOnly: isReadOnly,
  };
}

/** Docker refuses two mounts at one place; what is named later is meant more exactly. */
function withoutRepeats(mounts: readonly MountSettings[]): readonly MountSettings[] {
  return [...new Map(mounts.map((mount) => [mount.Target, mount])).values()];
}
