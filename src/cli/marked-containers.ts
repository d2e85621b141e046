/**
 * A cheap look at Docker beside a gateway that runs no containers: are there some that carry the mark of our state directory?
 * Asked by hand, because the client library costs memory that such a gateway shall not pay for.
 */
import { request } from 'node:http';
import { type DockerAddress, parseDockerHost } from '../runtimes/docker/connection.ts';
import { STATE_ID_LABEL } from '../runtimes/docker/marks.ts';

/** Nobody's start waits for longer. */
const LOOK_LIMIT_MS = 2_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** How many; 0 also where no Docker is, where it does not answer at once, and where it is reached by TLS. */
export async function markedContainers(host: string, stateId: string): Promise<number> {
  const address = parseDockerHost(host);
  if (!address.ok || host.startsWith('https:')) return 0;
  const filters = JSON.stringify({ label: [`${STATE_ID_LABEL}=${stateId}`] });
  try {
    const answer: unknown = JSON.parse(
      await textAt(address.value, `/containers/json?all=true&filters=${encodeURIComponent(filters)}`),
    );
    return Array.isArray(answer) ? answer.length : 0;
  } catch {
    return 0;
  }
}

function textAt(address: DockerAddress, path: string): Promise<string> {
  const where =
    address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port };
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(LOOK_LIMIT_MS);
    const asked = request({ ...where, path, agent: false, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
        if (text.length > ANSWER_BYTES_MAX) asked.destroy(new Error('the answer is too long'));
      });
      answer.on('error', reject);
      answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(text))));
    });
    asked.on('error', reject).end();
  });
}
