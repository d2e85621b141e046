/**
 * `npm run demo:vllm`: the gateway's demonstration with the real thing. Installs vLLM for processors and makes the models
 * (both once, kept in the cache), writes a configuration in which two of three models fit, and serves it. Arguments are
 * passed on to `vllm-gateway serve`.
 */
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { cacheDirectory } from './cache-directory.ts';
import { ensureRealVllm } from './install.ts';
import { ensureModels } from './models.ts';
import { realModelsConfig } from './real-models-config.ts';

const onProgress = (line: string): void => console.log(line);

async function writeConfig(): Promise<string | null> {
  const vllm = await ensureRealVllm({ onProgress });
  if ('unavailable' in vllm) {
    console.error(`The demonstration needs a real vLLM: ${vllm.unavailable}`);
    return null;
  }
  const models = await ensureModels(vllm.python, { onProgress });
  if ('unavailable' in models) {
    console.error(`The demonstration needs its models: ${models.unavailable}`);
    return null;
  }
  const directory = join(cacheDirectory(), 'demo');
  await mkdir(directory, { recursive: true });
  const file = join(directory, 'models.yaml');
  await writeFile(file, stringify(realModelsConfig(vllm, models)));
  return file;
}

function curlLines(url: string): string {
  const post = (path: string, body: unknown): string =>
    `  curl ${url}${path} -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
  const messages = [{ role: 'user', content: 'What is the capital of France?' }];
  return [
    'Try (the first request of each model waits about half a minute while its engine starts):',
    post('/v1/chat/completions', { model: 'smollm2', temperature: 0, max_tokens: 30, messages }),
    post('/v1/embeddings', { model: 'minilm', input: 'one address, many models' }),
    'Only two of the three fit: this one makes room for itself.',
    post('/v1/completions', { model: 'dummy', prompt: 'noise', max_tokens: 8 }),
    `  curl ${url}/gateway/status`,
  ].join('\n');
}

/**
 * On a terminal the gateway writes to it itself, so that it logs for people; the lines to try then come first. Else, or
 * with a port that only the gateway will know, they come as soon as it says where it listens.
 */
function serve(file: string, args: readonly string[]): Promise<number> {
  const launcher = join(import.meta.dirname, '..', '..', 'bin', 'vllm-gateway.mjs');
  const state = join(cacheDirectory(), 'demo', 'state');
  const argv = [launcher, 'serve', '--config', file, '--state-directory', state, ...args];
  const url = process.stdout.isTTY ? urlOf(args) : null;
  if (url !== null) console.log(`\n${curlLines(url)}\n`);
  const stdout = url === null ? 'pipe' : 'inherit';
  const child = spawn(process.execPath, argv, { stdio: ['inherit', stdout, 'inherit'] });
  if (child.stdout !== null) passOn(child.stdout);
  // The gateway ends its engines before it ends itself: this process waits for it.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** Where the gateway will listen with these arguments; null if only it will know. */
function urlOf(args: readonly string[]): string | null {
  const { values } = parseArgs({
    args: [...args],
    options: { host: { type: 'string', default: '127.0.0.1' }, port: { type: 'string', default: '9000' } },
    strict: false,
  });
  return values.port === '0' ? null : `http://${values.host}:${values.port}`;
}

function passOn(output: Readable): void {
  let isShown = false;
  output.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text);
    const url = /listening on (http:\/\/[^\s"]+)/.exec(text)?.[1];
    if (url === undefined || isShown) return;
    isShown = true;
    console.log(`\n${curlLines(url)}\n`);
  });
}

const file = await writeConfig();
process.exitCode = file === null ? 1 : await serve(file, process.argv.slice(2));
