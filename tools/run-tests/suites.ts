/** Which test files belong to which suite, and how each suite is run. */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';

export interface Suite {
  readonly name: string;
  /** Path prefixes, relative to the checkout, of the files that the suite owns. */
  readonly prefixes: readonly string[];
  /** Files that run at the same time. */
  readonly concurrency: number;
  /** After this a test file is killed with all that it started, whether a test hangs or a handle stays open. */
  readonly fileTimeoutMs: number;
  /** Whether the tests' own output appears while they run. Real components take minutes and show progress. */
  readonly isLive: boolean;
}

const SOURCE_FOLDERS = ['test', 'src', 'tools', 'bench', 'bin', 'simulator'];
const TEST_SUFFIX = '.test.ts';
const CONCURRENCY_MAX = 4;

/** Suites that need minutes, some of them components that must be installed first. What none of them owns is in the fast suite. */
const SLOW_SUITES: readonly Suite[] = [
  {
    name: 'vllm',
    prefixes: ['test/vllm/', 'test/contract/contract-real'],
    concurrency: 1,
    fileTimeoutMs: 45 * 60_000,
    isLive: true,
  },
  {
    // Simulated hosts under load: minutes of many processes, which would slow down everything beside them.
    name: 'hosts',
    prefixes: ['test/hosts/'],
    concurrency: 1,
    fileTimeoutMs: 15 * 60_000,
    isLive: true,
  },
  {
    // Gateways killed again and again in the middle of their work. What the storms check with is tested in the fast suite.
    name: 'crash',
    prefixes: ['test/crash/storm'],
    concurrency: 1,
    fileTimeoutMs: 15 * 60_000,
    isLive: true,
  },
  {
    // A real Docker daemon, started for each file; without root or the packages the files say that they are skipped.
    name: 'docker',
    prefixes: ['test/docker/'],
    concurrency: 1,
    // The storm over containers takes four, on a machine that does nothing else.
    fileTimeoutMs: 15 * 60_000,
    isLive: true,
  },
];

const FAST_SUITE: Suite = {
  name: 'fast',
  prefixes: SOURCE_FOLDERS.map((folder) => `${folder}/`),
  // With fewer than two a test that waits for a timer leaves the machine idle.
  concurrency: Math.max(2, Math.min(CONCURRENCY_MAX, availableParallelism())),
  fileTimeoutMs: 120_000,
  isLive: false,
};

export const SUITES: readonly Suite[] = [FAST_SUITE, ...SLOW_SUITES];

export function findSuite(name: string): Suite | undefined {
  return SUITES.find((suite) => suite.name === name);
}

/** All test files of a checkout, relative to `root`, with forward slashes. */
export function listTestFiles(root: string): string[] {
  const files: string[] = [];
  for (const folder of SOURCE_FOLDERS) collect(root, folder, files);
  return files;
}

function collect(root: string, folder: string, files: string[]): void {
  let entries: ReturnType<typeof readEntries>;
  try {
    entries = readEntries(path.join(root, folder));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  for (const entry of entries) {
    if (entry.name === 'node_modules') continue;
    const file = `${folder}/${entry.name}`;
    if (entry.isDirectory()) collect(root, file, files);
    else if (entry.name.endsWith(TEST_SUFFIX)) files.push(file);
  }
}

function readEntries(folder: string) {
  return readdirSync(folder, { withFileTypes: true });
}

/** The files of `suite` whose path contains one of `filters` (all of them when there is no filter), in running order. */
export function selectFiles(all: readonly string[], suite: Suite, filters: readonly string[]): string[] {
  return all.filter((file) => {
    const isOwned = suite.prefixes.some((prefix) => file.startsWith(prefix));
    const isOfSlowSuite = SLOW_SUITES.some((slow) => slow.prefixes.some((prefix) => file.startsWith(prefix)));
    const isOfSuite = suite === FAST_SUITE ? isOwned && !isOfSlowSuite : isOwned;
    return isOfSuite && (filters.length === 0 || filters.some((filter) => file.includes(filter)));
  });
}
