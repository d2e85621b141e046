/**
 * From a launch to a running container: image, network, socket directory, container, program, start. Each step that fails
 * gives a failure with a remedy; what was made before stays for the caller to remove.
 */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import type { ContainerInspectInfo } from 'dockerode';
import type { LaunchSpec } from '../runtime.ts';
import type { ContainerPlan } from './container-spec.ts';
import { containerOptions } from './container-spec.ts';
import { amdDeviceGroups } from './device-groups.ts';
import type { DockerFault } from './docker-fault.ts';
import { faultOf } from './docker-fault.ts';
import type { DockerSite } from './docker-site.ts';
import type { SocketMount } from './engine-mounts.ts';
import { engineMounts } from './engine-mounts.ts';
import type { Images } from './images.ts';
import type { LaunchFailure } from './launch-failure.ts';
import { isLimitRefused, launchFailureOf, programForbidden, programMissing } from './launch-failure.ts';
import type { ReachKind } from './marks.ts';
import { findProgram } from './program-check.ts';

const KEY_BYTES = 32;
/** A start waits for the driver (device requests) and for the disk; more is a hang. */
const START_LIMIT_MS = 120_000;

export type StartResult =
  | { readonly kind: 'started'; readonly container: ContainerInspectInfo }
  | {
      readonly kind: 'failed';
      readonly failure: LaunchFailure;
      /** Docker did not answer: what was asked of it last may be done yet. */
      readonly isUncertain: boolean;
    };

export interface StartSteps {
  /** Keeps the container's id durably before anything runs in it. */
  created(containerId: string): Promise<void>;
  /** From now on something may run in it. */
  starting(containerId: string): void;
}

export interface ContainerStarter {
  /** Never rejects, unless a step does. */
  start(spec: LaunchSpec, steps: StartSteps): Promise<StartResult>;
}

export function createContainerStarter(site: DockerSite, images: Images): ContainerStarter {
  return new Starter(site, images);
}

function failed(failure: LaunchFailure, isUncertain = false): StartResult {
  return { kind: 'failed', failure, isUncertain };
}

class Starter implements ContainerStarter {
  readonly #site: DockerSite;
  readonly #images: Images;
  /** Programs that were found before: image and command line. */
  readonly #programs = new Set<string>();
  #raisesLimits = true;

  constructor(site: DockerSite, images: Images) {
    this.#site = site;
    this.#images = images;
  }

  async start(spec: LaunchSpec, steps: StartSteps): Promise<StartResult> {
    const image = spec.image ?? this.#site.config.image;
    const ensured = await this.#images.find(image);
    if (ensured.kind === 'failed') return failed(ensured);
    try {
      const plan = await this.#plan(spec, image);
      if ('kind' in plan) return failed(plan);
      return await this.#startPlanned(plan, ensured.imageId, steps);
    } catch (error) {
      const fault = faultOf(error);
      return failed(launchFailureOf(this.#site.connection.host, fault), fault.status === null);
    }
  }

  async #plan(spec: LaunchSpec, image: string): Promise<ContainerPlan | LaunchFailure> {
    const { config, stateId, sockets, networks, toSource, hubCache, outputLimitBytes } = this.#site;
    const reach = this.#reachOf(spec);
    let socket: SocketMount | null = null;
    try {
      // A bind mount of a directory that is not there fails, and an empty cache is a cache.
      if (config.huggingFaceCache === null) await mkdir(hubCache, { recursive: true });
      if (reach === 'socket') socket = await sockets.make(spec.launchId);
    } catch (error) {
      const detail = `a directory for the engine cannot be made: ${faultOf(error).text}`;
      return { kind: 'failed', cause: 'resources', detail };
    }
    const mounts = engineMounts({ config, spec, hubCache, socket, toSource });
    if (!mounts.ok) return { kind: 'failed', cause: 'resources', detail: mounts.error };
    return {
      spec,
      config,
      stateId,
      image,
      reach,
      mounts: mounts.value,
      key: reach === 'socket' ? null : randomBytes(KEY_BYTES).toString('base64url'),
      launchNetwork: reach === 'network' ? await networks.make(spec.launchId) : null,
      outputLimitBytes,
      deviceGroups: spec.deviceSource === 'amd' ? await amdDeviceGroups() : [],
      raisesLimits: this.#raisesLimits,
    };
  }

  #reachOf({ listen }: LaunchSpec): ReachKind {
    const { reach } = this.#site;
    if (listen.kind === 'unix') return 'socket';
    return reach.tcp ?? 'port';
  }

  async #startPlanned(plan: ContainerPlan, imageId: string, steps: StartSteps): Promise<StartResult> {
    const { docker, call } = this.#site.connection;
    const raisesLimits = this.#raisesLimits;
    const options = containerOptions({ ...plan, raisesLimits });
    const created = await call(
      (abortSignal) => docker.createContainer({ ...options, abortSignal }),
      START_LIMIT_MS,
    );
    const program = await this.#checkProgram(plan, imageId, created.id);
    if (program !== null) return failed(program);
    await steps.created(created.id);
    steps.starting(created.id);
    try {
      await call((abortSignal) => created.start({ abortSignal }), START_LIMIT_MS);
    } catch (error) {
      const fault = faultOf(error);
      if (raisesLimits && isLimitRefused(fault)) {
        this.#doWithoutLimits(fault);
        await call((abortSignal) => created.remove({ force: true, v: true, abortSignal }));
        return await this.#startPlanned(plan, imageId, steps);
      }
      throw error;
    }
    const container = await call((abortSignal) => created.inspect({ abortSignal }));
    return { kind: 'started', container };
  }

  /** Several launches at the same time may find it out, and each of them is tried again. */
  #doWithoutLimits({ text }: DockerFault): void {
    if (!this.#raisesLimits) return;
    this.#raisesLimits = false;
    this.#site.log('warn', `engines run with Docker's own limits for locked memory and stack: ${text}`);
  }

  async #checkProgram(plan: ContainerPlan, imageId: string, id: string): Promise<LaunchFailure | null> {
    const { connection } = this.#site;
    const [program = ''] = plan.spec.argv;
    const seen = JSON.stringify([imageId, program, plan.spec.environment.PATH ?? null]);
    if (this.#programs.has(seen)) return null;
    const container = await connection.call((abortSignal) =>
      connection.docker.getContainer(id).inspect({ abortSignal }),
    );
    const state = await findProgram(connection, container, program);
    if (state === 'missing') return programMissing(program, plan.image);
    if (state === 'forbidden') return programForbidden(program, plan.image);
    this.#programs.add(seen);
    return null;
  }
}
