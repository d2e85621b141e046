/** Child processes of the benchmark: starting, their CPU time, ending. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Linux counts CPU time for user space in this unit on every architecture. */
const TICKS_PER_SECOND = 100;
const START_TIMEOUT_MS = 10_000;

/** Starts a file of this folder and returns it with the first line that it prints. */
export async function startScript(
  file: string,
  parameters: readonly string[],
  nodeOptions: readonly string[] = [],
): Promise<{ readonly child: ChildProcess; readonly line: string }> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [...nodeOptions, path, ...parameters], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${file} ended with ${code}`);
  });
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => undefined);
  return { child, line: String(line) };
}

/** User and system time of a process in microseconds. */
export async function cpuMicroseconds(pid: number): Promise<number> {
  return cpuOf(await readFile(`/proc/${pid}/stat`, 'latin1'));
}

/** The same for each of its threads, by name and number. */
export async function threadMicroseconds(pid: number): Promise<ReadonlyMap<string, number>> {
  const threads = new Map<string, number>();
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const stat = await readFile(`/proc/${pid}/task/${thread}/stat`, 'latin1').catch(() => null);
    if (stat === null) continue;
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    threads.set(`${name} ${thread}`, cpuOf(stat));
  }
  return threads;
}

function cpuOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_SECOND;
}

/** Resident memory of a process in MiB: now, or the most that it ever had. */
export async function residentMib(pid: number, which: 'now' | 'peak' = 'now'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const line = which === 'now' ? /VmRSS:\s+(\d+)/ : /VmHWM:\s+(\d+)/;
  return Math.round(Number(line.exec(status)?.[1] ?? 0) / 1024);
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export async function waitForPort(port: number, limitMs = START_TIMEOUT_MS): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const socket = connect({ port, host: '127.0.0.1' });
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      socket.destroy();
    }
  }
}
