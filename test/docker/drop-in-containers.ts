/** Questions to containers of the tests' Docker. */
import type { Readable } from 'node:stream';
import type { Container, ContainerInspectInfo } from 'dockerode';
import { LAUNCH_ID_LABEL } from '../../src/runtimes/docker/marks.ts';
import { NODE_IMAGE } from '../../tools/docker-lab/images.ts';
import type { DockerWorld } from './docker-world.ts';
import { logsOf } from './drop-in-compose.ts';

/** All that were started for models, in order of their names. */
export async function engineContainers({ docker }: DockerWorld): Promise<readonly ContainerInspectInfo[]> {
  const found = await docker.listContainers({ all: true, filters: { label: [LAUNCH_ID_LABEL] } });
  const inspected = await Promise.all(found.map(({ Id }) => docker.getContainer(Id).inspect()));
  return inspected.toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
}

/** What a shell script in a running container prints. */
export async function shellIn(container: Container, script: string): Promise<string> {
  const exec = await container.exec({ Cmd: ['sh', '-c', script], AttachStdout: true, Tty: true });
  const stream = (await exec.start({ Tty: true })) as Readable;
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text.replaceAll('\r', '');
}

/** What a script prints that Node runs in a container of its own in `network`. */
export async function nodeBeside({ docker }: DockerWorld, network: string, script: string): Promise<string> {
  const container = await docker.createContainer({
    Image: NODE_IMAGE,
    Cmd: ['node', '--input-type=module', '-e', script],
    HostConfig: { NetworkMode: network, Init: true },
  });
  try {
    await container.start();
    await container.wait();
    return await logsOf(container);
  } finally {
    await container.remove({ force: true });
  }
}
