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
/** Below Hugging Face's directory, where nothing else is said. */
const HUB = 'hub';
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
  /** The Hugging Face directory that we use ourselves. */
  readonly huggingFaceHome: string;
  /** Where snapshots lie, which may be elsewhere (HF_HUB_CACHE). */
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
  const cache = huggingFaceSource(inputs);
  if (!cache.ok) return cache;
  mounts.push(mountOf(cache.value, huggingFaceTarget, false));
  if (config.huggingFaceCache === null && inputs.hubCache !== join(inputs.huggingFaceHome, HUB)) {
    const hub = toSource(inputs.hubCache);
    if (!hub.ok) return failure(`engines cannot be given HF_HUB_CACHE: ${hub.error}`);
    mounts.push(mountOf(hub.value, join(huggingFaceTarget, HUB), false));
  }
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
    ...(compile === null ? {} : compileVariables()),
  };
  return success({ mounts: withoutRepeats(mounts), environment });
}

function huggingFaceSource({ config, huggingFaceHome, toSource }: MountInputs): Result<string, string> {
  if (config.huggingFaceCache !== null) return success(config.huggingFaceCache);
  const source = toSource(huggingFaceHome);
  if (source.ok) return source;
  return failure(
    `engines cannot be given the Hugging Face cache: ${source.error}; or name the directory of Docker's host in \`runtime.docker.hugging_face_cache\` (HOST_CACHE_DIR)`,
  );
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
