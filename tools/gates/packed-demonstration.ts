/** Serves the demonstration from an installed package: gateway and simulated engine must find each other there. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';

const START_MAX_MS = 30_000;
const ANSWER_MAX_MS = 60_000;
const END_MAX_MS = 60_000;
const LISTENING = /listening on (http:\/\/\S+)/;

/** Returns what went wrong, or `undefined`. */
export async function tryDemonstration(
  command: string,
  cwd: string,
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const child = spawn(command, ['serve', '--port', '0'], {
    cwd,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  try {
    const address = await addressIn(child.stdout, AbortSignal.timeout(START_MAX_MS));
    const response = await fetch(`${address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'sim-small', messages: [{ role: 'user', content: 'Hello' }] }),
      signal: AbortSignal.timeout(ANSWER_MAX_MS),
    });
    const text = await response.text();
    if (!response.ok) return `the demonstration answered ${response.status}: ${text}`;
    child.kill('SIGINT');
    const [code, signal] = await Promise.race([exited, once(AbortSignal.timeout(END_MAX_MS), 'abort')]);
    return code === 0 ? undefined : `the demonstration ended with ${signal ?? code}`;
  } catch (error) {
    return `the demonstration failed: ${String(error)}`;
  } finally {
    child.kill('SIGKILL');
  }
}

async function addressIn(output: Readable, signal: AbortSignal): Promise<string> {
  let text = '';
  const collect = (chunk: Buffer) => {
    text += chunk.toString();
  };
  output.on('data', collect);
  for (;;) {
    const address = LISTENING.exec(text)?.[1];
    if (address !== undefined) {
      output.off('data', collect);
      output.resume();
      return address;
    }
    await once(output, 'data', { signal });
  }
}
