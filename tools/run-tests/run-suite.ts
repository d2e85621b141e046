/** Runs the files of a suite, some at a time, and prints how each went and a summary at the end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { formatFailures, formatFile, formatSummary, sumCounts } from './report.ts';
import { type FileResult, runFile } from './run-file.ts';
import { listTestFiles, type Suite, selectFiles } from './suites.ts';

/** Returns whether every test passed and there was at least one. `print` receives whole lines. */
export async function runSuite(
  root: string,
  suite: Suite,
  filters: readonly string[],
  print: (text: string) => void,
): Promise<boolean> {
  const files = selectFiles(listTestFiles(root), suite, filters);
  if (files.length === 0) {
    print(
      `No test file of the suite \`${suite.name}\`${filters.length > 0 ? ` matches ${filters.join(', ')}` : ''}.`,
    );
    return false;
  }
  const startMs = performance.now();
  // Tests that forget a temporary file leave it here. The name is short: Unix socket paths end at 107 bytes.
  const folder = mkdtempSync(path.join(tmpdir(), 'vg-'));
  try {
    const results = await runFiles(root, suite, files, folder, print);
    for (const [file, result] of results) {
      if (result.failures.length > 0) print(formatFailures(file, result));
    }
    const counts = sumCounts([...results.values()]);
    print(`\n${formatSummary(counts, performance.now() - startMs)}`);
    return counts.failed === 0 && counts.cancelled === 0 && counts.tests > 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runFiles(
  root: string,
  suite: Suite,
  files: readonly string[],
  folder: string,
  print: (text: string) => void,
): Promise<Map<string, FileResult>> {
  const results = new Map<string, FileResult>();
  const environment = { ...process.env, ...testEnvironment(folder) };
  const waiting = [...files.entries()];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, file] = next;
      const result = await runFile({
        file: path.join(root, file),
        cwd: root,
        reportFolder: folder,
        reportName: `report-${index}.jsonl`,
        timeoutMs: suite.fileTimeoutMs,
        isLive: suite.isLive,
        environment,
      });
      results.set(file, result);
      print(formatFile(file, result));
    }
  };
  await Promise.all(Array.from({ length: suite.concurrency }, worker));
  return results;
}

function testEnvironment(folder: string): NodeJS.ProcessEnv {
  const cache = process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache');
  return {
    TMPDIR: folder,
    // Most of a small test file's time is compiling the same modules as all the others.
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? path.join(cache, 'vllm-gateway', 'compile-cache'),
  };
}
