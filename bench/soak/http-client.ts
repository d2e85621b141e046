/** Sends one ask over HTTP as its client would: slowly, reading slowly, leaving when it wants to. Never rejects. */
import { type Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Ending, HttpAsk } from './ask.ts';
import { judge } from './judge.ts';

/** Longer than any wait that the configuration allows: then nobody answers. */
const ANSWER_LIMIT_MS = 240_000;
/** A slow reader rests after each so many bytes. */
const REST_BYTES = 16_384;

export function sendHttp(url: string, agent: Agent, ask: HttpAsk, id: string): Promise<Ending> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    let unrestedBytes = 0;
    let leaves = false;
    let hasHead = false;
    const end = (ending: Ending): void => {
      clearTimeout(limit);
      clearTimeout(leaveTimer);
      resolve(ending);
    };
    const leave = (): void => {
      leaves = true;
      sent.destroy();
      end({ kind: 'left' });
    };
    const failed = (error: Error): void => {
      if (leaves) return;
      // A server may end a kept connection at the moment of its next use: nobody has the request then.
      if (sent.reusedSocket && !hasHead && isReset(error)) end({ kind: 'unsent' });
      else end({ kind: 'wrong', detail: `broken off after ${bytes} bytes: ${error.message}` });
    };
    const sent = request(`${url}${ask.path}`, {
      method: ask.method,
      agent,
      headers: { ...ask.headers, 'x-request-id': id },
    });
    sent.once('response', (answer) => {
      hasHead = true;
      answer.on('data', (part: Buffer) => {
        parts.push(part);
        bytes += part.length;
        unrestedBytes += part.length;
        if (ask.leaving !== null && 'atBytes' in ask.leaving && bytes >= ask.leaving.atBytes) leave();
        else if (ask.readPauseMs > 0 && unrestedBytes >= REST_BYTES) {
          unrestedBytes = 0;
          rest(answer, ask.readPauseMs);
        }
      });
      answer.once('error', failed);
      answer.once('end', () => {
        const { statusCode = 0, headers } = answer;
        if (headers['x-request-id'] !== id)
          end({ kind: 'wrong', detail: `X-Request-Id ${headers['x-request-id']} for ${id}` });
        else end(judge(ask, statusCode, Buffer.concat(parts).toString()));
      });
    });
    sent.on('error', failed);
    const limit = setTimeout(() => {
      end({ kind: 'wrong', detail: `no answer within ${ANSWER_LIMIT_MS} ms` });
      leaves = true;
      sent.destroy();
    }, ANSWER_LIMIT_MS);
    const leaveTimer =
      ask.leaving !== null && 'afterMs' in ask.leaving ? setTimeout(leave, ask.leaving.afterMs) : undefined;
    void upload(sent, ask);
  });
}

function isReset(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

function rest(answer: IncomingMessage, ms: number): void {
  answer.pause();
  setTimeout(() => answer.resume(), ms);
}

async function upload(sent: ClientRequest, { body, pieces, pauseMs }: HttpAsk): Promise<void> {
  const step = Math.max(1, Math.ceil(body.length / pieces));
  for (let at = 0; at < body.length && pieces > 1 && !sent.destroyed; at += step) {
    sent.write(body.subarray(at, at + step));
    await pause(pauseMs);
  }
  if (sent.destroyed) return;
  if (pieces > 1) sent.end();
  else sent.end(body);
}
