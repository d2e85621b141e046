/** Plays a script on a connection of its own and hands back all that came. */
import { connect } from 'node:net';
import { readAnswers } from './answer-reader.ts';
import type { Script } from './script.ts';

/** An answer that has not come by then will not come. */
const ANSWER_LIMIT_MS = 30_000;
/** A client that leaves at once leaves at different moments of its request's life. */
const LEAVING_MS_MAX = 4;

export interface Played {
  readonly bytes: string;
  readonly end: 'fin' | 'reset';
  /** Not all that had to come came within the limit. */
  readonly timedOut: boolean;
}

export function play(script: Script, port: number): Promise<Played> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const methods = script.reading.requests.map(({ method }) => method);
    const mayEnd = new Set<NodeJS.Timeout>();
    let bytes = '';
    let end: Played['end'] | null = null;
    let timedOut = false;
    let sent = false;

    const limit = setTimeout(() => {
      timedOut = true;
      socket.destroy();
    }, ANSWER_LIMIT_MS);
    const look = (): void => {
      if (!sent || script.leaving !== 'waits' || socket.writableEnded) return;
      const { answers } = readAnswers(bytes, methods, end !== null);
      if (answers.length >= methods.length || answers.at(-1)?.headers.get('connection') === 'close')
        socket.end();
    };
    const allSent = (): void => {
      sent = true;
      if (script.leaving === 'half_closes') socket.end();
      else if (script.leaving === 'leaves' || script.leaving === 'leaves_early') {
        mayEnd.add(setTimeout(() => socket.destroy(), script.index % LEAVING_MS_MAX));
      } else look();
    };
    const send = (at: number): void => {
      if (socket.destroyed) return;
      const piece = script.pieces[at];
      const early = script.leaving === 'leaves_early' && at > 0 && at === script.pieces.length - 1;
      if (piece === undefined || early) {
        allSent();
        return;
      }
      socket.write(piece, 'latin1');
      const pauseMs = script.pausesMs[at] ?? 0;
      if (pauseMs > 0) mayEnd.add(setTimeout(() => send(at + 1), pauseMs));
      else setImmediate(() => send(at + 1));
    };
    socket.setEncoding('latin1');
    socket.on('connect', () => send(0));
    socket.on('data', (data: string) => {
      bytes += data;
      look();
    });
    socket.on('end', () => {
      end ??= 'fin';
      socket.end();
    });
    socket.on('error', () => {
      end ??= 'reset';
    });
    socket.on('close', () => {
      clearTimeout(limit);
      for (const timer of mayEnd) clearTimeout(timer);
      resolve({ bytes, end: end ?? 'reset', timedOut });
    });
  });
}
