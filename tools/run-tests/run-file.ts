/**
 * Runs one test file in a process of its own and says how it went.
 *
 * F1. The process leads a group; when it has ended, or its time is over, nothing of the group stays alive. A test
 *     that left a process behind has failed: it would disturb the next ones.
 *     So it is when the whole run is ended by a signal (`endRunningFiles`).
 * F2. Exit code 0 is not enough: the reporter's last line must be there and must count at least one test.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Counts, ReportLine } from './event-reporter.ts';

export interface FileRun {
  /** Absolute path of the test file. */
  readonly file: string;
  readonly cwd: string;
  /** An existing folder for the reporter's file; nobody else uses `reportName` in it. */
  readonly reportFolder: string;
  readonly reportName: string;
  readonly timeoutMs: number;
  readonly isLive: boolean;
  readonly environment: NodeJS.ProcessEnv;
}

export interface FileResult {
  readonly counts: Counts;
  readonly failures: readonly Failure[];
  readonly skips: readonly { readonly name: string; readonly reason: string }[];
  readonly durationMs: number;
  /** What the file wrote to stdout and stderr; empty when the run was live. */
  readonly output: string;
}

export interface Failure {
  readonly name: string;
  readonly line: number | undefined;
  readonly error: string;
}

const OUTPUT_BYTES_MAX = 1_000_000;
const DRAIN_MAX_MS = 2_000;
const REPORTER = fileURLToPath(new URL('./event-reporter.ts', import.meta.url));
const NO_COUNTS: Counts = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };

/** Leaders of the groups that run now. */
const runningPids = new Set<number>();

/** For the end of the whole run by a signal: the groups would survive it. */
export function endRunningFiles(): void {
  for (const pid of runningPids) killGroup(pid);
}

export async function runFile(run: FileRun): Promise<FileResult> {
  const startMs = performance.now();
  const report = path.join(run.reportFolder, run.reportName);
  const ended = await runProcess(run, report);
  const lines = readReport(report);
  const end = lines.find((line) => line.kind === 'end');
  const failures = [...lines.filter((line) => line.kind === 'fail'), ...faultsOfFile(run, ended, end)];
  return {
    counts: countFailures(end?.counts ?? NO_COUNTS, failures.length),
    failures: failures.map(({ name, line, error }) => ({ name, line, error })),
    skips: lines.filter((line) => line.kind === 'skip').map(({ name, reason }) => ({ name, reason })),
    durationMs: performance.now() - startMs,
    output: ended.output,
  };
}

interface Ended {
  readonly exit: string;
  readonly isTimedOut: boolean;
  readonly hasLeftProcesses: boolean;
  readonly output: string;
}

async function runProcess(run: FileRun, report: string): Promise<Ended> {
  const child = spawn(
    process.execPath,
    [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${report}`, run.file],
    { cwd: run.cwd, env: run.environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  if (child.pid !== undefined) runningPids.add(child.pid);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const keep = (chunk: Buffer, live: NodeJS.WriteStream) => {
    if (run.isLive) live.write(chunk);
    else if (bytes < OUTPUT_BYTES_MAX) chunks.push(chunk);
    bytes += chunk.length;
  };
  child.stdout.on('data', (chunk: Buffer) => keep(chunk, process.stdout));
  child.stderr.on('data', (chunk: Buffer) => keep(chunk, process.stderr));
  let isTimedOut = false;
  const timer = setTimeout(() => {
    isTimedOut = true;
    killGroup(child.pid);
  }, run.timeoutMs);
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  // `exit` and not `close`: a process left behind holds the pipe open.
  const exit = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  clearTimeout(timer);
  const hasLeftProcesses = killGroup(child.pid) && !isTimedOut;
  if (child.pid !== undefined) runningPids.delete(child.pid);
  await withinDrainLimit(closed);
  return { exit, isTimedOut, hasLeftProcesses, output: Buffer.concat(chunks).toString('utf8') };
}

/** Returns whether anything was there to be killed. */
function killGroup(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(-pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}

/** A process that left the group may hold the pipes for ever, hence the limit. */
async function withinDrainLimit(closed: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, DRAIN_MAX_MS);
  });
  await Promise.race([closed, limit]);
  clearTimeout(timer);
}

function readReport(report: string): ReportLine[] {
  let text: string;
  try {
    text = readFileSync(report, 'utf8');
  } catch {
    return [];
  }
  // A killed process can leave half a line at the end.
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  return complete
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ReportLine);
}

/** What is wrong with the file as a whole, beside its failed tests. */
function faultsOfFile(run: FileRun, ended: Ended, end: ReportLine | undefined): Failure[] {
  const fault = (error: string): Failure => ({ name: 'the file itself', line: undefined, error });
  if (ended.isTimedOut) {
    return [fault(`was killed after ${run.timeoutMs / 1000} s: a test hangs, or leaves a handle open`)];
  }
  const faults: Failure[] = [];
  if (end?.kind !== 'end') faults.push(fault(`ended (${ended.exit}) before its tests had finished`));
  else if (end.counts.tests === 0) faults.push(fault('contains no test'));
  else if (end.isSuccess && ended.exit !== 'exit code 0')
    faults.push(fault(`all tests passed, yet ${ended.exit}`));
  if (ended.hasLeftProcesses) faults.push(fault('left processes behind in its process group'));
  return faults;
}

/** Faults of the file count as failed tests, so that the summary never shows a failed run without a failure. */
function countFailures(counts: Counts, failures: number): Counts {
  const missing = Math.max(0, failures - counts.failed - counts.cancelled);
  return { ...counts, tests: counts.tests + missing, failed: counts.failed + missing };
}
