/** Where engines run, in what containers, and what is kept of finished requests. */
import * as z from 'zod';
import { allowing, builtInOf, field } from './field.ts';
import { flag, imageName, integer, oneOf, size, text, textMatching } from './leaf.ts';

/** What Docker takes as the name of a container or a volume. */
const dockerName = () =>
  textMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'a name of letters, digits, `_`, `.` and `-`');

const volumeText =
  '`source:/target`, with `:ro` (only to be read) or `:rw` behind it or nothing; the source is an absolute path or the name of a volume';
const volume = () => textMatching(/^(\/[^:]*|[a-zA-Z0-9][a-zA-Z0-9_.-]*):\/[^:]*(:(ro|rw))?$/, volumeText);
const volumesText = `a list of ${volumeText}`;

/** The last one means no user. */
const USER_ID_MAX = 2 ** 32 - 2;
const user = () => {
  const error = 'a user id, or `uid:gid`, in numbers';
  const id = z.int({ error }).min(0, { error }).max(USER_ID_MAX, { error });
  const pair = z.string({ error }).regex(/^\d+(:\d+)?$/, { error });
  return allowing(z.union([id, pair], { error }).transform(String), error);
};

const DAYS_MAX = 3650;

export const dockerSchema = z.strictObject(
  {
    host: field(text('`unix:///path` or `tcp://host:port`'), {
      effect: 'Where the Docker engine listens: `unix:///path` or `tcp://host:port`.',
      default: 'unix:///var/run/docker.sock',
      danger: 'Whoever reaches it is root on its host.',
      environment: ['DOCKER_HOST'],
    }),
    image: field(imageName(), {
      effect: 'Image of models that name none. Its vLLM is what runs.',
      default: 'vllm/vllm-openai:latest',
      danger: '`latest` is another vLLM after each pull: name a version where that matters.',
      environment: ['VLLM_IMAGE'],
    }),
    pull: field(oneOf(['missing', 'always', 'never']), {
      effect: 'When images are pulled: where they are missing, before each start, or never.',
      default: 'missing',
    }),
    container_prefix: field(dockerName(), {
      effect: "First part of the names of engines' containers.",
      default: 'vllm_server',
      environment: ['VLLM_CONTAINER_PREFIX'],
    }),
    network: field(dockerName(), {
      effect:
        "Network that engines join for what they fetch themselves. Compose puts the project's name in front of its networks: the one of the gateway's own container that ends with this name is meant too.",
      otherwise: "Docker's default network",
      environment: ['DOCKER_NETWORK_NAME'],
    }),
    port: field(integer(1, 65_535), {
      effect: "Port inside of engines' containers, where they listen on TCP.",
      default: 8000,
      environment: ['VLLM_PORT'],
    }),
    gateway_container: field(dockerName(), {
      effect: "Name or id of the gateway's own container, where it runs in one.",
      otherwise: 'found by the host name',
      environment: ['GATEWAY_CONTAINER_NAME'],
    }),
    reach: field(oneOf(['auto', 'socket', 'network', 'port']), {
      effect:
        "How the gateway reaches engines: `socket`, a Unix socket in a directory that both see; `network`, an internal network for each engine that only the gateway's container joins; `port`, a port published on 127.0.0.1 with a key for each launch. `auto` takes the first of them that works.",
      default: 'auto',
      danger:
        'With `port` other programs of the host reach the engine, so that its development routes stay closed and it cannot sleep.',
    }),
    hugging_face_cache: field(text('an absolute path or the name of a volume'), {
      effect: "Directory of Docker's host, or volume, with the Hugging Face cache.",
      otherwise: 'what is mounted where the gateway has its own',
      environment: ['HOST_CACHE_DIR'],
    }),
    compile_cache: field(text('an absolute path or the name of a volume'), {
      effect: "Directory of Docker's host, or volume, for compiled graphs and kernels.",
      otherwise: 'a volume that the gateway makes',
    }),
    volumes: field(allowing(z.array(volume(), { error: volumesText }), volumesText), {
      effect: 'Further mounts of engines, such as directories with local models.',
      default: [],
    }),
    shm_size_mib: field(size(), {
      effect: 'Size of /dev/shm, over which the processes of an engine on several devices talk.',
      default: 8192,
      unit: 'MiB',
    }),
    user: field(user(), {
      effect: 'User that engines run as.',
      otherwise: "the image's",
      danger: 'It must be able to write the caches.',
    }),
    utility_image: field(imageName(), {
      effect: 'Image in which nvidia-smi is run where the gateway has none itself.',
      otherwise: '`image`: the NVIDIA container toolkit brings nvidia-smi into any container',
      environment: ['NVIDIA_UTILITY_IMAGE'],
    }),
  },
  { error: 'a mapping of docker keys' },
);

export const dockerBuiltIn = builtInOf(
  dockerSchema.omit({
    network: true,
    gateway_container: true,
    hugging_face_cache: true,
    compile_cache: true,
    user: true,
    utility_image: true,
  }),
);

export const runtimeSchema = z.strictObject(
  {
    kind: field(oneOf(['process', 'docker']), {
      effect: 'Where engines run: as processes of this host, or each in a container of a Docker engine.',
      otherwise:
        "`process`; under the original's environment `docker`, where its socket is there and this user may use it",
      danger: 'A Docker socket gives whoever holds it all of its host.',
    }),
    docker: field(dockerSchema, { effect: 'Containers of engines; read where `kind` is `docker`.' }),
    state_directory: field(text('the path of a directory'), {
      effect: 'Launch records, sockets and output of engines; relative to the configuration file.',
      otherwise: '`$XDG_STATE_HOME/vllm-gateway`, or `~/.local/state/vllm-gateway`',
      danger: 'Two gateways must not share one.',
      flag: '--state-directory',
    }),
    output_limit_mib: field(integer(1, 65_536), {
      effect: "Size of one engine's output file; a fuller one is started anew.",
      default: 64,
      unit: 'MiB',
    }),
    import_footprints_file: field(text('the path of a file'), {
      effect:
        "The original gateway's file of measured memory (memory_footprints.json), relative to the configuration file. It is read once; figures of models whose settings are still the same are used until a launch measures anew. A missing file is no fault.",
      otherwise: 'nothing is imported',
      environment: ['MEMORY_FOOTPRINT_FILE'],
    }),
  },
  { error: 'a mapping of runtime keys' },
);

export const runtimeBuiltIn = builtInOf(
  runtimeSchema.omit({ kind: true, docker: true, state_directory: true, import_footprints_file: true }),
);

export const activitySchema = z.strictObject(
  {
    enabled: field(flag(), {
      effect:
        'Keeps a row for each finished request in the state directory: when, who, which model, how long, how it ended. No bodies, no keys.',
      default: true,
    }),
    rows_max: field(integer(1, 100_000_000), {
      effect: 'Rows that are kept; the oldest go.',
      default: 100_000,
    }),
    days_max: field(integer(1, DAYS_MAX), {
      effect: 'Days that rows are kept.',
      default: 30,
      unit: 'days',
    }),
  },
  { error: 'a mapping of activity keys' },
);

export const activityBuiltIn = builtInOf(activitySchema);
