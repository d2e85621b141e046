/** One ask over a WebSocket: a session with its utterances, of which each must come back as its own transcript. */
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { Ending, SocketAsk } from './ask.ts';
import { errorOf } from './judge.ts';

const SESSION_LIMIT_MS = 240_000;
/** Closings that the gateway explains (docs/websockets.md). */
const EXPLAINED = new Set([1001, 1012, 1013]);

/** Never rejects. */
export function openSocket(url: string, ask: SocketAsk, id: string): Promise<Ending> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${ask.path}`, {
    headers: { 'x-request-id': id },
  });
  return new Promise((resolve) => {
    let leaves = false;
    let at = 0;
    const end = (ending: Ending): void => {
      clearTimeout(limit);
      clearTimeout(leaveTimer);
      resolve(ending);
      socket.terminate();
    };
    const leave = (): void => {
      leaves = true;
      end({ kind: 'left' });
    };
    const limit = setTimeout(
      () => end({ kind: 'wrong', detail: `no end within ${SESSION_LIMIT_MS} ms` }),
      SESSION_LIMIT_MS,
    );
    const leaveTimer =
      ask.leaving !== null && 'afterMs' in ask.leaving ? setTimeout(leave, ask.leaving.afterMs) : undefined;
    const say = (event: object): void => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(event));
    };
    const speak = (): void => {
      const utterance = ask.utterances[at];
      if (utterance === undefined) {
        socket.close(1000);
        return;
      }
      say({ type: 'input_audio_buffer.append', audio: utterance.toString('base64') });
      say({ type: 'input_audio_buffer.commit' });
    };
    socket.on('message', (data) => {
      const event = JSON.parse(String(data)) as { readonly type: string; readonly text?: string };
      if (event.type === 'session.created') {
        say({ type: 'session.update', model: ask.model });
        speak();
      } else if (event.type === 'transcription.done') {
        const wanted = transcript(ask.utterances[at]);
        if (event.text !== wanted) end({ kind: 'wrong', detail: `not ${wanted} but ${event.text}` });
        at += 1;
        void pause(ask.pauseMs).then(speak);
      } else if (event.type === 'error') {
        end({ kind: 'wrong', detail: String(data) });
      }
    });
    socket.once('unexpected-response', (_request, answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.once('end', () => {
        const told = errorOf(text);
        const status = answer.statusCode ?? 0;
        end(
          told === null
            ? { kind: 'wrong', detail: `${status}: ${text}` }
            : { kind: 'error', status, ...told },
        );
      });
    });
    socket.on('error', (error) => {
      if (!leaves) end({ kind: 'wrong', detail: `socket: ${error.message}` });
    });
    socket.once('close', (code, reason) => {
      if (leaves) return;
      if (EXPLAINED.has(code)) end({ kind: 'error', status: 101, code: `closed ${code}`, origin: 'gateway' });
      else if (code === 1000 && at === ask.utterances.length)
        end({ kind: 'answered', status: 101, text: '' });
      else end({ kind: 'wrong', detail: `closed with ${code} ${String(reason)} after ${at} utterances` });
    });
  });
}

/** As `vllm-sim --sim-answer echo` hears it. */
function transcript(audio: Buffer | undefined): string {
  const hash = createHash('sha256')
    .update(audio ?? '')
    .digest('hex');
  return `audio ${hash.slice(0, 8)}`;
}
