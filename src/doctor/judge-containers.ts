/** Judgements over who would end our engines with us, and over Docker. Pure: facts in, checks out. */
import { type Check, fail, ok, warn } from './check.ts';
import type { DockerFacts, MachineFacts, ServiceFacts } from './machine-facts.ts';

const UNIT_REMEDY =
  'as deploy/systemd/vllm-gateway.service has it, then systemctl daemon-reload and restart.';
/** The kernel's highest score: no engine of ours can stand above. */
const OOM_SCORE_MAX = 1000;

/** Do engines live on when the gateway dies? */
export function judgeSurvival(
  facts: Pick<MachineFacts, 'runtimeKind' | 'hasProc' | 'devicesPerEngineMax' | 'service'>,
): Check {
  const id = 'survival';
  const { unit, isContainer } = facts.service;
  if (facts.devicesPerEngineMax === 0) return ok(id, 'no engine of ours');
  if (facts.runtimeKind === 'docker')
    return ok(id, 'engines are containers of their own, and live on when the gateway ends');
  if (!facts.hasProc)
    return warn(
      id,
      'without /proc, engines that a dead gateway left are not found again',
      'Run the gateway where /proc is mounted and not hidden.',
    );
  if (isContainer)
    return warn(
      id,
      'the gateway runs in a container and its engines in the same one: its end takes them along',
      'Give the gateway the Docker socket and say runtime.kind: docker (docs/compose.md), or run it outside of containers (docs/systemd.md).',
    );
  if (unit === null) return ok(id, 'engines live on when the gateway ends, and the next one adopts them');
  return judgeUnit(id, unit);
}

function judgeUnit(id: string, unit: NonNullable<ServiceFacts['unit']>): Check {
  const { name, killMode, oomPolicy, delegate } = unit;
  if (killMode === null)
    return warn(
      id,
      `${name} of systemd, which does not tell how it ends processes`,
      `Look with systemctl show -p KillMode ${name}: it must be process.`,
    );
  if (killMode !== 'process')
    return warn(
      id,
      `${name} has KillMode=${killMode}: systemd ends engines together with the gateway`,
      `Set KillMode=process, OOMPolicy=continue and Delegate=yes, ${UNIT_REMEDY}`,
    );
  if (oomPolicy !== null && oomPolicy !== 'continue')
    return warn(
      id,
      `${name} has OOMPolicy=${oomPolicy}: one engine that runs out of memory ends the service`,
      `Set OOMPolicy=continue, ${UNIT_REMEDY}`,
    );
  if (delegate === 'no')
    return warn(
      id,
      `${name} has Delegate=no: systemd may move engines that it did not start`,
      `Set Delegate=yes, ${UNIT_REMEDY}`,
    );
  return ok(id, `${name} ends the gateway alone; the next one adopts its engines`);
}

/** When memory runs out, the kernel shall end an engine rather than the gateway. */
export function judgeOomScore({ oomScoreAdj, isOomScoreWritable }: ServiceFacts): Check {
  const id = 'oom_score';
  if (oomScoreAdj === null) return ok(id, 'this system has no scores for memory that runs out');
  const found = `oom_score_adj of the gateway is ${oomScoreAdj}`;
  if (oomScoreAdj >= OOM_SCORE_MAX)
    return warn(
      id,
      `${found}, the highest: the kernel may end it before an engine`,
      'Start it with a lower one (OOMScoreAdjust= of the service, oom_score_adj of the container).',
    );
  if (!isOomScoreWritable)
    return warn(
      id,
      `${found}, and engines cannot be given a higher one`,
      'Mount /proc so that processes may write their own oom_score_adj.',
    );
  return ok(id, `${found}; engines get a higher one`);
}

/** Nothing where engines run as processes. `wantsNvidia`: devices of NVIDIA are configured or found. */
export function judgeDocker(facts: DockerFacts | null, wantsNvidia: boolean): readonly Check[] {
  if (facts === null) return [];
  const { engine, host } = facts;
  if (engine.kind === 'failed')
    return [
      fail(
        'docker',
        `the Docker engine at ${host}: ${engine.text}`,
        "Start it, mount its socket, and give this user the socket's group; or say runtime.kind: process.",
      ),
    ];
  return [
    ok('docker', `Docker ${engine.version} at ${host}`),
    judgeImages(facts),
    judgeToolkit(engine.hasNvidia, wantsNvidia),
    ...judgeMounts(facts),
  ];
}

function judgeImages({ missingImages, pull }: DockerFacts): Check {
  const id = 'docker_images';
  if (missingImages.length === 0) return ok(id, 'every image is there');
  const found = `not there: ${missingImages.join(', ')}`;
  const [image = ''] = missingImages;
  if (pull === 'never')
    return fail(id, found, `Pull it (docker pull ${image}), or set runtime.docker.pull to missing.`);
  return warn(
    id,
    `${found}; pulled by the first start`,
    `Pull it now (docker pull ${image}): the first request waits for some gigabytes otherwise.`,
  );
}

function judgeToolkit(hasNvidia: boolean, wantsNvidia: boolean): Check {
  const id = 'docker_nvidia';
  if (hasNvidia) return ok(id, 'the NVIDIA container toolkit is there');
  if (!wantsNvidia) return ok(id, 'no NVIDIA device is wanted');
  return warn(
    id,
    'the Docker engine tells of no NVIDIA container toolkit',
    'Install nvidia-container-toolkit, run nvidia-ctk runtime configure --runtime=docker, and restart Docker; an older toolkit without registration may still work.',
  );
}

function judgeMounts({ ownContainer, unmounted }: DockerFacts): readonly Check[] {
  if (ownContainer === null) return [];
  const id = 'docker_mounts';
  if (unmounted.length === 0)
    return [ok(id, `state and caches of container ${ownContainer} lie outside of it`)];
  const [first] = unmounted;
  return [
    fail(
      id,
      `inside of container ${ownContainer} alone: ${unmounted.map(({ use, path }) => `${use} (${path})`).join(', ')}`,
      `Mount a volume or directory at ${first?.path ?? ''}, as deploy/docker-compose.yml does: a new container of the gateway finds neither engines nor weights otherwise, and engines cannot share it.`,
    ),
  ];
}
