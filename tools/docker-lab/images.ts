/**
 * Images for tests, made of what this machine has: Node, its libraries and busybox; and one with vllm-sim in vLLM's
 * place. No registry is asked.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import Docker from 'dockerode';
import { programPath } from './components.ts';

const ROOT = path.dirname(path.dirname(import.meta.dirname));

/** Node, a shell and the usual small programs. */
export const NODE_IMAGE = 'vgt:node';
/** `vllm serve …` is vllm-sim; `vllm-sim` is there too. */
export const SIM_IMAGE = 'vgt:vllm-sim';

/** Changed with what is put into the archives. */
const FORMAT = 4;

/** Imports both into the daemon; the archives are kept between runs. */
export async function importImages(socketPath: string): Promise<void> {
  const docker = new Docker({ host: undefined, socketPath });
  await importArchive(docker, nodeArchive(), NODE_IMAGE);
  await importArchive(docker, simArchive(), SIM_IMAGE);
}

export async function importArchive(docker: Docker, file: string, image: string): Promise<void> {
  const [repo, tag] = image.split(':');
  const stream = (await docker.importImage(file, { repo, tag })) as Readable;
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  if (!text.includes('sha256:')) throw new Error(`${image} cannot be imported: ${text}`);
}

/** Where what takes long to make is kept, outside of the checkout. */
export function cacheDirectory(): string {
  const cache = process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache');
  const directory = path.join(cache, 'vllm-gateway-test', 'docker');
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** An archive that `fill` makes once for each `key`. */
export function archive(name: string, key: string, fill: (root: string) => void): string {
  const hash = createHash('sha256').update(`${FORMAT} ${key}`).digest('hex').slice(0, 16);
  const file = path.join(cacheDirectory(), `${name}-${hash}.tar`);
  if (existsSync(file)) return file;
  const root = mkdtempSync(path.join(cacheDirectory(), 'root-'));
  try {
    fill(root);
    const unfinished = `${file}.${process.pid}.tmp`;
    execFileSync(programPath('tar'), [
      '--numeric-owner',
      '--owner=0',
      '--group=0',
      '-cf',
      unfinished,
      '-C',
      root,
      '.',
    ]);
    renameSync(unfinished, file);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return file;
}

function nodeArchive(): string {
  return archive('node', fingerprint([process.execPath, busybox()]), fillWithNode);
}

function simArchive(): string {
  const sources = execFileSync('git', ['ls-files', '-s', '--', 'src/core', 'src/engines/simulated', 'bin'], {
    cwd: ROOT,
  });
  const changed = execFileSync('git', ['diff', '--', 'src/core', 'src/engines/simulated', 'bin'], {
    cwd: ROOT,
  });
  const key = fingerprint([process.execPath, busybox()]) + sources + changed;
  return archive('vllm-sim', key, (root) => {
    fillWithNode(root);
    const home = path.join(root, 'opt/vllm-gateway');
    for (const folder of ['src/core', 'src/engines/simulated', 'bin']) {
      cpSync(path.join(ROOT, folder), path.join(home, folder), { recursive: true });
    }
    copyFileSync(path.join(ROOT, 'package.json'), path.join(home, 'package.json'));
    for (const name of ['vllm', 'vllm-sim']) {
      const program = path.join(root, 'usr/local/bin', name);
      writeFileSync(program, '#!/bin/sh\nexec node /opt/vllm-gateway/bin/vllm-sim.mjs "$@"\n');
      chmodSync(program, 0o755);
    }
  });
}

function fillWithNode(root: string): void {
  for (const folder of [
    'bin',
    'usr/local/bin',
    'usr/bin',
    'etc',
    'tmp',
    'root',
    'proc',
    'sys',
    'dev',
    'run',
  ]) {
    mkdirSync(path.join(root, folder), { recursive: true });
  }
  chmodSync(path.join(root, 'tmp'), 0o1777);
  copyFileSync(busybox(), path.join(root, 'bin/busybox'));
  const applets = execFileSync(busybox(), ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const applet of applets) {
    if (applet !== 'busybox') symlinkSync('busybox', path.join(root, 'bin', applet));
  }
  const node = realpathSync(process.execPath);
  copyFileSync(node, path.join(root, 'usr/local/bin/node'));
  // vllm-sim runs it under another name, by which busybox would choose another applet.
  rmSync(path.join(root, 'bin/sleep'));
  copyFileSync(programPath('sleep'), path.join(root, 'bin/sleep'));
  for (const library of new Set([...librariesOf(node), ...librariesOf(programPath('sleep'))])) {
    const target = path.join(root, library);
    mkdirSync(path.dirname(target), { recursive: true });
    copyFileSync(library, target);
  }
  writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\n');
}

function librariesOf(program: string): readonly string[] {
  const text = execFileSync(programPath('ldd'), [program], { encoding: 'utf8' });
  return [...text.matchAll(/(\/\S+\.so\S*)/g)].map(([, library = '']) => library);
}

function busybox(): string {
  return programPath('busybox');
}

function fingerprint(files: readonly string[]): string {
  return files.map((file) => `${file} ${statSync(file).size} ${statSync(file).mtimeMs}`).join('\n');
}
