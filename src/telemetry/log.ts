/** The log: one JSON line an event on standard output, or readable lines on a terminal. */
import { pino } from 'pino';
import type { LogLevel } from '../config/resolved-config.ts';

export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  text: string,
  fields?: Record<string, unknown>,
) => void;

export interface LogOptions {
  readonly level: LogLevel;
  /** Readable lines instead of JSON. */
  readonly readable: boolean;
}

export function createLog(options: LogOptions): Log {
  if (options.readable) return readableLog(options.level);
  const logger = pino({ level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime });
  return (level, text, fields) => logger[level](fields ?? {}, text);
}

const ORDER: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

function readableLog(least: LogLevel): Log {
  const from = ORDER.indexOf(least);
  return (level, text, fields) => {
    if (ORDER.indexOf(level) < from) return;
    const time = new Date().toISOString().slice(11, 23);
    const rest = Object.entries(fields ?? {}).map(([key, value]) => ` ${key}=${String(value)}`);
    process.stdout.write(`${time} ${level.toUpperCase().padEnd(5)} ${text}${rest.join('')}\n`);
  };
}
