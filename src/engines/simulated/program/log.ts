/**
 * Output as vLLM writes it: records of vLLM's own logger on stdout with the process they come from, uvicorn's lifecycle
 * lines and tracebacks on stderr, uvicorn's access lines on stdout.
 */
import { writeSync } from 'node:fs';

export interface SimLog {
  /** A record of the API server's logger. */
  api(source: string, text: string, level?: LogLevel): void;
  /** A record of the engine core's logger. */
  core(source: string, text: string, level?: LogLevel): void;
  /** Lines on stderr that carry the engine core's prefix, as tracebacks of it do. */
  coreTraceback(lines: readonly string[]): void;
  /** Lines on stderr that carry the API server's prefix. */
  apiTraceback(lines: readonly string[]): void;
  /** A bare line on stderr: progress bars and uvicorn's lifecycle. */
  bare(text: string): void;
  /** A bare line on stdout: uvicorn's access log. */
  access(text: string): void;
}

export type LogLevel = 'INFO' | 'WARNING' | 'ERROR';

/** `corePid` is asked at each line, because the engine core starts after the first ones. */
export function createSimLog(corePid: () => number): SimLog {
  const record = (name: string, pid: number, source: string, level: LogLevel, text: string): void => {
    write(1, `(${name} pid=${pid}) ${level} ${stamp(new Date())} [${source}] ${text}\n`);
  };
  return {
    api: (source, text, level = 'INFO') => record('APIServer', process.pid, source, level, text),
    core: (source, text, level = 'INFO') => record('EngineCore', corePid(), source, level, text),
    coreTraceback: (lines) => {
      for (const line of lines) write(2, `(EngineCore pid=${corePid()}) ${line}\n`);
    },
    apiTraceback: (lines) => {
      for (const line of lines) write(2, `(APIServer pid=${process.pid}) ${line}\n`);
    },
    bare: (text) => write(2, `${text}\n`),
    access: (text) => write(1, `${text}\n`),
  };
}

/**
 * Written at once and in order, also just before a crash. A full pipe is waited for; a reader that is gone ends the
 * process, as the first progress bar would end vLLM's loader. What a full disk does not take is lost, as Python's logging
 * loses it.
 */
function write(descriptor: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOSPC') return;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(PAUSE, 0, 0, 1);
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

function stamp(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
