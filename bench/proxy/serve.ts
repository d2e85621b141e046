/** The whole gateway as users run it, with one `url` model: the stub engine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, waitForPort } from './processes.ts';
import { CONCURRENT_MAX, MODEL } from './workload.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export async function startServe(
  directory: string,
  enginePort: number,
  nodeOptions: readonly string[] = [],
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const port = await freePort();
  const file = join(directory, 'models.yaml');
  await writeFile(
    file,
    `models:
  ${MODEL}:
    url: http://127.0.0.1:${enginePort}
    max_concurrent: ${CONCURRENT_MAX}
devices: { source: host }
server: { shutdown_delay: 0 }
runtime: { state_directory: ${join(directory, 'state')} }
log: { level: warn }
`,
  );
  const child = spawn(
    process.execPath,
    [...nodeOptions, MAIN, 'serve', '--config', file, '--port', String(port)],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  await waitForPort(port);
  return { child, port };
}
