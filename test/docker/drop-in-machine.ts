/**
 * A machine as the original's users have it: two cards, a Hugging Face cache, directories for configuration and data, vLLM's
 * image. The toolkit's hook of the tests' Docker brings the memory of simulated cards into containers that are given cards,
 * and into no other, as NVIDIA's brings the driver.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { LEDGER_VARIABLE, type Ledger, prepareLedger } from '../../src/engines/simulated/ledger.ts';
import { programPath } from '../../tools/docker-lab/components.ts';
import { SIM_IMAGE } from '../../tools/docker-lab/images.ts';
import { safetensorsFile, TINY_CONFIG, TINY_TENSORS } from '../fixtures/model-files.ts';
import { cacheRepository } from '../fixtures/original-machine.ts';
import { type DockerWorld, temporaryDirectory } from './docker-world.ts';

export const LARGE = 'GPU-11111111-2222-3333-4444-555555555555';
export const SMALL = 'GPU-66666666-7777-8888-9999-000000000000';
/** `vllm` takes some seconds to start; `nvidia-smi` shows the cards. */
export const VLLM_IMAGE = 'vgt:drop-in-vllm';

const CARDS: Readonly<Record<string, number>> = { [LARGE]: 24_564, [SMALL]: 12_282 };
/** With a size that can be computed, so that no hub is asked for it. */
const FILES = {
  config: JSON.stringify({ ...TINY_CONFIG, max_position_embeddings: 131_072 }),
  weights: safetensorsFile(TINY_TENSORS),
};
const LOAD_SECONDS = 3;
const LEDGER_IN_CONTAINERS = '/run/simulated-cards';

export interface DropInMachine {
  readonly ledger: Ledger;
  readonly cacheDirectory: string;
  /** A directory with `config/` and `data/`, as beside a compose file. */
  projectDirectory(name: string, modelsYaml: string | null): string;
}

export async function createDropInMachine(
  world: DockerWorld,
  repositories: readonly string[],
): Promise<DropInMachine> {
  const directory = temporaryDirectory();
  const ledgerDirectory = path.join(directory, 'cards');
  const cards = Object.entries(CARDS).map(([id, totalMib]) => ({ id, name: 'NVIDIA RTX A5000', totalMib }));
  const ledger = prepareLedger(ledgerDirectory, cards);
  writeHook(world, ledgerDirectory);
  await buildVllmImage(world, directory);
  const cacheDirectory = path.join(directory, 'huggingface');
  mkdirSync(cacheDirectory);
  for (const repository of repositories) await cacheRepository(cacheDirectory, repository, FILES);
  return {
    ledger,
    cacheDirectory,
    projectDirectory(name, modelsYaml) {
      const project = path.join(directory, name);
      for (const part of ['config', 'data']) mkdirSync(path.join(project, part), { recursive: true });
      if (modelsYaml !== null) writeFileSync(path.join(project, 'config/models.yaml'), modelsYaml);
      return project;
    },
  };
}

/** As the package of Docker sets its socket up, with a group of its own, or where only root has it. */
export function giveSocketTo({ daemon }: DockerWorld, group: number): void {
  chownSync(daemon.socketPath, 0, group);
  chmodSync(daemon.socketPath, 0o660);
}

/** It runs before the container's root is its root: what is mounted below the bundle's root now is in the container. */
function writeHook({ daemon }: DockerWorld, ledgerDirectory: string): void {
  const hook = path.join(daemon.root, 'bin', 'nvidia-container-runtime-hook');
  const lines = [
    '#!/bin/sh',
    'set -eu',
    'state="$(cat)"',
    `pid="$(printf %s "$state" | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')"`,
    `bundle="$(printf %s "$state" | sed -n 's/.*"bundle": *"\\([^"]*\\)".*/\\1/p')"`,
    `root="$(tr -d '\\n' < "$bundle/config.json" | sed -n 's/.*"root": *{ *"path": *"\\([^"]*\\)".*/\\1/p')"`,
    `target="$root${LEDGER_IN_CONTAINERS}"`,
    `${programPath('nsenter')} --target "$pid" --mount -- sh -c "mkdir -p '$target' && mount --bind '${ledgerDirectory}' '$target'"`,
  ];
  rmSync(hook, { force: true });
  writeFileSync(hook, `${lines.join('\n')}\n`, { mode: 0o755 });
}

async function buildVllmImage({ docker }: DockerWorld, directory: string): Promise<void> {
  const context = path.join(directory, 'vllm-image');
  mkdirSync(context);
  const write = (name: string, lines: readonly string[]): void =>
    writeFileSync(path.join(context, name), `${lines.join('\n')}\n`, { mode: 0o755 });
  const simulation = 'exec node /opt/vllm-gateway/bin/vllm-sim.mjs';
  // A container sees the cards that it was given, and numbers them anew.
  const cards = 'export CUDA_VISIBLE_DEVICES="${NVIDIA_VISIBLE_DEVICES-}"';
  write('vllm', ['#!/bin/sh', cards, `${simulation} "$@" --sim-load-seconds ${LOAD_SECONDS}`]);
  write('nvidia-smi', ['#!/bin/sh', `${simulation} nvidia-smi "$@"`]);
  write('Dockerfile', [
    `FROM ${SIM_IMAGE}`,
    'COPY vllm nvidia-smi /usr/local/bin/',
    `ENV ${LEDGER_VARIABLE}=${LEDGER_IN_CONTAINERS}`,
  ]);
  const archive = execFileSync('tar', ['-c', '-C', context, '.'], { maxBuffer: 1024 * 1024 });
  const stream = (await docker.buildImage(Readable.from([archive]), { t: VLLM_IMAGE })) as Readable;
  let told = '';
  for await (const chunk of stream) told += String(chunk);
  if (!told.includes('Successfully tagged')) throw new Error(told);
}
