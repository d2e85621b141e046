/** deploy/docker-compose.yml as Compose carries it out, by the engine API: names with the project's in front, labels, aliases. */
import { readFileSync } from 'node:fs';
import type Docker from 'dockerode';
import type { Container, ContainerCreateOptions, HostConfig } from 'dockerode';
import { parse } from 'yaml';

const FILE = new URL('../../deploy/docker-compose.yml', import.meta.url);
const VERSION = '2.24.0';

interface Service {
  readonly image: string;
  readonly container_name: string;
  readonly ports: readonly string[];
  readonly environment: Readonly<Record<string, string | null>>;
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  readonly restart: string;
  readonly stop_grace_period: string;
  readonly security_opt: readonly string[];
  readonly logging: { readonly options: Readonly<Record<string, string>> };
}

interface ComposeFile {
  readonly networks: Readonly<Record<string, { readonly driver?: string } | null>>;
  readonly volumes: Readonly<Record<string, object | null>>;
  readonly services: { readonly gateway: Service };
}

export interface ComposeSetup {
  readonly project: string;
  /** The directory of the file: what `./config` is relative to. */
  readonly directory: string;
  /** As .env has them. */
  readonly variables: Readonly<Record<string, string>>;
  /** The one thing that cannot be as the file has it: the tests' Docker has its socket elsewhere. */
  readonly socketPath: string;
  /** As a file docker-compose.override.yml adds them. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A project of Compose with the one service of our file. */
export class ComposeProject {
  readonly #docker: Docker;
  readonly #setup: ComposeSetup;
  readonly #file: ComposeFile;

  constructor(docker: Docker, setup: ComposeSetup) {
    this.#docker = docker;
    this.#setup = setup;
    const fill = (_: unknown, value: unknown): unknown =>
      typeof value === 'string' ? filled(value, setup.variables) : value;
    this.#file = parse(readFileSync(FILE, 'utf8'), fill) as ComposeFile;
  }

  get service(): Service {
    return this.#file.services.gateway;
  }

  get networkNames(): readonly string[] {
    return Object.keys(this.#file.networks).map((name) => this.#named(name));
  }

  get volumeNames(): readonly string[] {
    return Object.keys(this.#file.volumes).map((name) => this.#named(name));
  }

  #named(name: string): string {
    return `${this.#setup.project}_${name}`;
  }

  /** `docker compose up -d`: what is there already is used; a container of an older image is put away first. */
  async up(): Promise<Container> {
    const labels = {
      'com.docker.compose.project': this.#setup.project,
      'com.docker.compose.version': VERSION,
    };
    const networks = await this.#docker.listNetworks();
    for (const [name, network] of Object.entries(this.#file.networks)) {
      if (networks.some(({ Name }) => Name === this.#named(name))) continue;
      await this.#docker.createNetwork({
        Name: this.#named(name),
        Driver: network?.driver ?? 'bridge',
        Labels: { ...labels, 'com.docker.compose.network': name },
      });
    }
    for (const name of Object.keys(this.#file.volumes)) {
      const Labels = { ...labels, 'com.docker.compose.volume': name };
      await this.#docker.createVolume({ Name: this.#named(name), Labels });
    }
    await this.#remove(this.service.container_name);
    const container = await this.#docker.createContainer({
      name: this.service.container_name,
      ...this.#options(false),
    });
    await container.start();
    return container;
  }

  /** `docker compose run --rm --no-deps gateway WORDS`: its exit code and output. */
  async run(words: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
    const container = await this.#docker.createContainer({ ...this.#options(true), Cmd: [...words] });
    await container.start();
    const { StatusCode } = (await container.wait()) as { readonly StatusCode: number };
    const output = await logsOf(container);
    await container.remove({ force: true, v: true });
    return { code: StatusCode, output };
  }

  /** `docker compose stop`, `docker compose down` (which keeps volumes). */
  async down(): Promise<void> {
    const container = this.#docker.getContainer(this.service.container_name);
    await container.stop().catch(ignoreNotModified);
    await container.remove();
    for (const name of this.networkNames) await this.#docker.getNetwork(name).remove();
  }

  async #remove(name: string): Promise<void> {
    const all = await this.#docker.listContainers({ all: true });
    const old = all.find(({ Names }) => Names.includes(`/${name}`));
    if (old === undefined) return;
    const container = this.#docker.getContainer(old.Id);
    await stopInOrder(container);
    await container.remove();
  }

  #options(isOneOff: boolean): ContainerCreateOptions {
    const { service } = this;
    const environment = { ...service.environment, ...this.#setup.environment };
    const [network = ''] = service.networks.map((name) => this.#named(name));
    return {
      Image: service.image,
      Env: Object.entries(environment).map(([name, value]) => `${name}=${value ?? ''}`),
      Labels: {
        'com.docker.compose.project': this.#setup.project,
        'com.docker.compose.service': 'gateway',
        'com.docker.compose.container-number': '1',
        'com.docker.compose.oneoff': isOneOff ? 'True' : 'False',
        'com.docker.compose.version': VERSION,
      },
      StopTimeout: Number.parseInt(service.stop_grace_period, 10),
      ExposedPorts: Object.fromEntries(
        isOneOff ? [] : service.ports.map((port) => [`${inner(port)}/tcp`, {}]),
      ),
      HostConfig: { ...this.#hostConfig(isOneOff), NetworkMode: network },
      NetworkingConfig: {
        EndpointsConfig: {
          [network]: { Aliases: isOneOff ? [] : [service.container_name, 'gateway'] },
        },
      },
    };
  }

  #hostConfig(isOneOff: boolean): HostConfig {
    const { service } = this;
    const ports = service.ports.map((port) => [`${inner(port)}/tcp`, [{ HostPort: outer(port) }]] as const);
    return {
      Binds: service.volumes.map((volume) => this.#bind(volume)),
      PortBindings: Object.fromEntries(isOneOff ? [] : ports),
      RestartPolicy: isOneOff ? { Name: 'no' } : { Name: service.restart },
      SecurityOpt: service.security_opt.map((option) => option.replace(':true', '')),
      LogConfig: { Type: 'json-file', Config: { ...service.logging.options } },
    };
  }

  #bind(volume: string): string {
    const [source = '', target = '', ...mode] = volume.split(':');
    const place =
      target === '/var/run/docker.sock'
        ? this.#setup.socketPath
        : source.startsWith('./')
          ? `${this.#setup.directory}${source.slice(1)}`
          : source.startsWith('/')
            ? source
            : this.#named(source);
    return [place, target, ...mode].join(':');
  }
}

function outer(port: string): string {
  return port.split(':').at(-2) ?? '';
}

function inner(port: string): string {
  return port.split(':').at(-1) ?? '';
}

/** `${NAME:-default}`, defaults in defaults included. */
function filled(text: string, variables: Readonly<Record<string, string>>): string {
  const innermost = /\$\{([A-Z0-9_]+):-([^${}]*)\}/;
  let result = text;
  for (let found = innermost.exec(result); found !== null; found = innermost.exec(result)) {
    const [whole, name = '', otherwise = ''] = found;
    result = result.replace(whole, () => variables[name] || otherwise);
  }
  return result;
}

function ignoreNotModified(error: unknown): void {
  if ((error as { readonly statusCode?: number }).statusCode !== 304) throw error;
}

/** `docker stop`: rejects where the container did not end by itself within its grace. */
export async function stopInOrder(container: Container): Promise<void> {
  await container.stop();
  const { State } = await container.inspect();
  if (State.ExitCode !== 0) {
    throw new Error(`it ended with code ${State.ExitCode}:\n${await logsOf(container)}`);
  }
}

/** What `docker logs` shows, both streams. */
export async function logsOf(container: Container): Promise<string> {
  const frames = await container.logs({ stdout: true, stderr: true });
  const texts: string[] = [];
  for (let at = 0; at + 8 <= frames.length; ) {
    const length = frames.readUInt32BE(at + 4);
    texts.push(frames.subarray(at + 8, at + 8 + length).toString('utf8'));
    at += 8 + length;
  }
  return texts.join('');
}
