/** The engines of a storm as containers of a Docker that is the tests' own: nobody else makes containers there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Docker from 'dockerode';
import { containerCensus, identityOf, LABELS, listOurs, unlessGone } from './container-census.ts';
import { processCensus } from './process-census.ts';
import type { StormGround, StormRuntime, Strangers } from './storm-runtime.ts';

export interface DockerPlace {
  readonly host: string;
  readonly socketPath: string;
  /** Has vllm-sim in vLLM's place, and a shell. */
  readonly image: string;
}

/** Ignores nothing, and is killed at once. */
const WAITING = ['/bin/sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.2; done'];
const PLANTED_MODEL = 'planted';
/** Of another gateway on the same Docker. */
const FOREIGN_STATE_ID = '0'.repeat(16);

type DebrisKind = 'running' | 'created' | 'network' | 'nameless';
const DEBRIS: readonly DebrisKind[] = ['running', 'created', 'network', 'nameless'];

export function containerRuntime({ host, socketPath, image }: DockerPlace): StormRuntime {
  const docker = new Docker({ host: undefined, socketPath });
  return {
    config: ({ stateDirectory }) => ({
      runtime: {
        kind: 'docker',
        docker: {
          ...{ host, image, pull: 'never', hugging_face_cache: 'vgt-huggingface' },
          // Where the gateway tells simulated engines that it is.
          volumes: [`${join(stateDirectory, 'ledger')}:${join(stateDirectory, 'ledger')}`],
        },
      },
    }),
    modelKeys: (name) => ({ engine: 'vllm', repo: `org/${name}`, fetch: false }),
    times: { earlyMs: 1_500, startMs: 1_500, stopMs: 600 },
    // A stop takes long enough here without it.
    wishes: 10,
    open(ground) {
      const stateId = () => stateIdIn(ground.stateDirectory);
      let planted = 0;
      return {
        source: containerCensus(docker, stateId),
        async plantDebris(launchId, id) {
          const kind = DEBRIS[planted % DEBRIS.length] ?? 'running';
          planted += 1;
          await plantDebris(docker, { image, mark: ground.mark, launchId, stateId: id, kind });
        },
        plantStrangers: () => plantStrangers(docker, image),
        remains: () => remains(docker, ground, stateId()),
      };
    },
  };
}

function stateIdIn(stateDirectory: string): string | null {
  const file = join(stateDirectory, 'state-id');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
}

interface Debris {
  readonly image: string;
  readonly mark: string;
  readonly launchId: string;
  readonly stateId: string;
  readonly kind: DebrisKind;
}

async function plantDebris(docker: Docker, { image, mark, launchId, stateId, kind }: Debris): Promise<void> {
  const ours = { [LABELS.stateId]: stateId };
  const labels = { ...ours, [LABELS.launchId]: launchId };
  if (kind === 'network')
    await docker.createNetwork({ Name: `vllm-gateway-${launchId}`, Internal: true, Labels: labels });
  const container = await docker.createContainer({
    name: launchId,
    Image: image,
    Cmd: WAITING,
    Env: [mark, `VLLM_GATEWAY_LAUNCH_ID=${launchId}`, `VLLM_GATEWAY_STATE_ID=${stateId}`],
    Labels: kind === 'nameless' ? ours : { ...labels, [LABELS.model]: PLANTED_MODEL },
    HostConfig: { NetworkMode: kind === 'network' ? `vllm-gateway-${launchId}` : 'none' },
  });
  if (kind !== 'created') await container.start();
}

/** A container without any label, and one of another gateway. */
async function plantStrangers(docker: Docker, image: string): Promise<Strangers> {
  const foreign = {
    [LABELS.stateId]: FOREIGN_STATE_ID,
    [LABELS.launchId]: 'stranger-1',
    [LABELS.model]: 'quick',
  };
  const strangers = await Promise.all(
    [{}, foreign].map(async (Labels) => {
      const HostConfig = { NetworkMode: 'none' };
      const made = await docker.createContainer({ Image: image, Cmd: WAITING, Labels, HostConfig });
      await made.start();
      return { made, identity: identityOf(await made.inspect()) };
    }),
  );
  return {
    async touched() {
      const looks = await Promise.all(
        strangers.map(async ({ made, identity }) => {
          const now = await unlessGone(made.inspect());
          const isSame = now?.State.Running === true && identityOf(now) === identity;
          return isSame ? [] : [`a stranger's container was touched: ${identity} is ${now?.State.Status}`];
        }),
      );
      return looks.flat();
    },
    async end() {
      await Promise.all(strangers.map(({ made }) => unlessGone(made.remove({ force: true }))));
    },
  };
}

/** Beside containers: processes that they have left, networks, socket directories, images that were only made to be looked at. */
async function remains(
  docker: Docker,
  { stateDirectory, mark }: StormGround,
  stateId: string | null,
): Promise<readonly string[]> {
  const containers = await listOurs(docker, stateId);
  const networks = await docker.listNetworks({ filters: { label: [`${LABELS.stateId}=${stateId}`] } });
  const processes = (await processCensus(mark).look()).engines;
  const images = await docker.listImages({ all: true, filters: { dangling: ['true'] } });
  return [
    ...containers.map(({ Names, State }) => `container: ${Names.join()}, ${State}`),
    ...networks.map(({ Name }) => `network: ${Name}`),
    ...processes.map(({ launchId, pids }) => `processes of ${launchId}: ${pids.join()}`),
    ...readdirSync(join(stateDirectory, 'c')).map((name) => `socket directory: ${name}`),
    ...images.map(({ Id, Size }) => `image: ${Id} of ${Size} bytes`),
  ];
}
