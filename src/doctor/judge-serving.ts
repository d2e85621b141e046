/** Judgements over what the configured models need: engines, devices, files, port. Pure: facts in, checks out. */
import { type Check, fail, ok, sizeText, warn } from './check.ts';
import type {
  ConfigurationFacts,
  DeviceFacts,
  DockerFacts,
  HubCacheFacts,
  MachineFacts,
  ModelFileFacts,
  PortFacts,
  VllmFacts,
} from './machine-facts.ts';

/** Containers get 64 MiB unless asked for more. */
const SHARED_MEMORY_LOW_MIB = 1024;
const DEVICE_TAKEN_SHARE = 0.1;
const FAULTS_SHOWN = 3;
/** Owners whose models mostly ask for a licence to be accepted. */
const GATED_OWNERS =
  /^(meta-llama|google|mistralai|CohereLabs|CohereForAI|nvidia|black-forest-labs|bigcode|databricks)\//i;

export function judgeConfiguration({ source, faults }: ConfigurationFacts): Check {
  if (faults.length === 0) return ok('configuration', `${source} has no faults`);
  const more = faults.length > FAULTS_SHOWN ? `; and ${faults.length - FAULTS_SHOWN} more` : '';
  return fail(
    'configuration',
    `${faults.slice(0, FAULTS_SHOWN).join('; ')}${more}`,
    'Mend the faults; `vllm-gateway check` lists them all. The checks below know no models.',
  );
}

export function judgeVllm(
  vllm: readonly VllmFacts[],
  runtimeKind: MachineFacts['runtimeKind'],
): readonly Check[] {
  if (runtimeKind === 'docker') return [ok('vllm', 'the images of engines bring their own')];
  if (vllm.length === 0) return [ok('vllm', 'no model runs vLLM')];
  return vllm.map((one) => {
    const id = vllm.length === 1 ? 'vllm' : `vllm_${one.models[0] ?? ''}`;
    return judgeInstallation(id, one);
  });
}

function judgeInstallation(id: string, { executable, models, version, unknownParsers }: VllmFacts): Check {
  const who = models.length === 1 ? `model ${models[0]}` : `${models.length} models`;
  switch (version.kind) {
    case 'missing':
      return fail(
        id,
        `\`${executable}\` (${who}) is not found`,
        'Install vLLM (pip install vllm) where the gateway finds it, or set vllm_executable to its path.',
      );
    case 'hung':
      return warn(
        id,
        `\`${executable} --version\` did not answer within ${version.timeLimitS} s`,
        'Run it by hand: a slow disk or a driver that hangs delays every start too.',
      );
    case 'failed':
      return fail(
        id,
        `\`${executable} --version\` failed: ${version.text}`,
        'Run it by hand and mend the installation; engines would fail the same way.',
      );
    case 'answered': {
      const [unknown] = unknownParsers;
      if (unknown === undefined) return ok(id, `${version.text} (\`${executable}\`, ${who})`);
      return fail(
        id,
        `${version.text} does not have the parser \`${unknown.parser}\` of model ${unknown.model}`,
        'Set tool_parser and reasoning_parser to `auto` or to a parser that this vLLM has.',
      );
    }
  }
}

/** `devicesPerEngineMax` as in the facts: without engines of our own no device is needed. */
/** `docker`: null where engines run as processes. */
export function judgeDevices(
  facts: DeviceFacts,
  devicesPerEngineMax: number,
  docker: DockerFacts | null,
): Check {
  const { devices, conditions, isComplete } = facts;
  const told = conditions.join(' ');
  // One cause, told as a failure by the check of Docker.
  if (docker?.engine.kind === 'failed' && (!isComplete || devices.length === 0))
    return warn(
      'devices',
      told === '' ? 'the devices cannot be read' : told,
      'Mend Docker first: where there is no nvidia-smi beside the gateway, the devices are read in a container.',
    );
  const driver = facts.driverVersion === null ? '' : `; driver ${facts.driverVersion}`;
  const list =
    devices.length === 0
      ? 'no device'
      : devices.map(({ name, totalMib }) => `${name} (${sizeText(totalMib)})`).join(', ');
  if (!isComplete)
    return fail(
      'devices',
      told === '' ? 'the devices cannot be read' : told,
      'Nothing starts until the devices answer: run their tool (nvidia-smi, amd-smi, rocm-smi) by hand, and mend or restart the driver.',
    );
  if (devices.length === 0 && devicesPerEngineMax > 0)
    return fail(
      'devices',
      told === '' ? 'no device' : told,
      'Install the driver, give the container its GPUs (--gpus all), or set devices.source to `host`.',
    );
  if (devices.length < devicesPerEngineMax)
    return fail(
      'devices',
      `${list}; a model spreads over ${devicesPerEngineMax}`,
      'Lower tensor_parallel_size to the number of devices.',
    );
  if (conditions.length > 0)
    return warn('devices', `${list}${driver}. ${told}`, 'See what the conditions say.');
  const taken = devices.find(
    (one) => one.source !== 'host' && (one.usedMib ?? 0) > one.totalMib * DEVICE_TAKEN_SHARE,
  );
  if (taken !== undefined)
    return warn(
      'devices',
      `${list}${driver}; ${sizeText(taken.usedMib ?? 0)} of ${taken.id} are in use`,
      'If these are not engines of a running gateway, end the programs that use them, or set devices.memory_limit_mib.',
    );
  return ok('devices', `${list}${driver}`);
}

export function judgeSharedMemory({ sharedMemoryMib }: DeviceFacts, devicesPerEngineMax: number): Check {
  const id = 'shared_memory';
  if (devicesPerEngineMax < 2) return ok(id, 'no model spreads over several devices');
  if (sharedMemoryMib === null) return ok(id, 'no /dev/shm is told');
  const found = `/dev/shm has ${sizeText(sharedMemoryMib)}`;
  if (sharedMemoryMib >= SHARED_MEMORY_LOW_MIB) return ok(id, found);
  return warn(
    id,
    found,
    'Enlarge it (--shm-size 8g or --ipc host of a container): engines on several devices talk over it.',
  );
}

export function judgeHubCache({ path, exists, isWritable, sizeMib }: HubCacheFacts): Check {
  if (!isWritable)
    return fail(
      'hub_cache',
      `${path} cannot be ${exists ? 'written' : 'made'}`,
      'Point HF_HOME to a directory that this user may write.',
    );
  if (!exists) return ok('hub_cache', `${path} will be made by the first download`);
  return ok('hub_cache', `${path}, ${sizeMib === null ? 'too many files to count' : sizeText(sizeMib)}`);
}

export function judgeModels(models: readonly ModelFileFacts[], isOffline: boolean): Check {
  const names = (place: ModelFileFacts['place']) => models.filter((one) => one.place === place);
  const [lost] = [...names('missing_path'), ...names('unreadable_name')];
  if (lost !== undefined)
    return fail(
      'models',
      `${lost.repo} of model ${lost.model} is not there`,
      'Correct `repo`, or mount the directory.',
    );
  const absent = names('hub');
  const here = models.length - absent.length;
  const [first] = absent;
  if (first === undefined)
    return ok('models', models.length === 0 ? 'no model needs files' : `the files of all ${here} are here`);
  if (isOffline)
    return fail(
      'models',
      `${first.repo} of model ${first.model} is not in the cache, and HF_HUB_OFFLINE is set`,
      'Download it beforehand, or unset HF_HUB_OFFLINE.',
    );
  return ok('models', `${here} of ${models.length} are here; the first start of the others downloads them`);
}

export function judgeToken(models: readonly ModelFileFacts[], hubToken: MachineFacts['hubToken']): Check {
  if (hubToken.isSet) return ok('token', 'a Hugging Face token is set');
  const gated = models.find(
    ({ place, repo, hasToken }) => place === 'hub' && !hasToken && GATED_OWNERS.test(repo),
  );
  if (gated === undefined) return ok('token', 'no Hugging Face token; none seems to be needed');
  return warn(
    'token',
    `no Hugging Face token, and ${gated.repo} (model ${gated.model}) may be gated`,
    "Accept the model's licence on the hub and set HF_TOKEN.",
  );
}

/** `ownerPid`: a gateway that owns our state directory, and so probably the port too. */
export function judgePort({ host, port, outcome }: PortFacts, ownerPid: number | null): Check {
  const where = `${host}:${port}`;
  switch (outcome) {
    case 'free':
      return ok('port', port === 0 ? `${host}, any port` : `${where} is free`);
    case 'EADDRINUSE':
      return ownerPid === null
        ? fail(
            'port',
            `${where} is in use by another program`,
            'Set server.port to another one, or end that program.',
          )
        : warn(
            'port',
            `${where} is in use, probably by the gateway that runs (pid ${ownerPid})`,
            'End it before another one is started here.',
          );
    case 'EACCES':
      return fail('port', `this user may not listen on ${where}`, 'Set server.port to 1024 or above.');
    case 'EADDRNOTAVAIL':
      return fail(
        'port',
        `${host} is no address of this machine`,
        'Set server.host to one of its addresses, or to 127.0.0.1.',
      );
    default:
      return fail('port', `listening on ${where} fails (${outcome})`, 'Correct server.host and server.port.');
  }
}
