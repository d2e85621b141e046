/**
 * /v1/realtime: vLLM's WebSocket for transcription, as far as its clients see it. Audio is never decoded: a transcript is
 * the usual words, chosen by the bytes.
 *
 * session.created; session.update names the model; input_audio_buffer.append brings PCM16 in base64;
 * input_audio_buffer.commit transcribes what came since the one before (`final`: also silence, as the end of an utterance)
 * into transcription.delta and transcription.done.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { SimContext } from './context.ts';
import { type JsonObject, newId } from './exchange.ts';
import { composeAnswer } from './text.ts';

export const REALTIME_PATH = '/v1/realtime';
/** uvicorn's default. */
const PING_INTERVAL_MS = 20_000;
/** vLLM's VLLM_MAX_AUDIO_CLIP_FILESIZE_MB. */
const AUDIO_BYTES_MAX = 25 * 1024 * 1024;
const FRAME_BYTES_MAX = 2 * AUDIO_BYTES_MAX;
/** PCM16 at 16 kHz: bytes of the 80 ms that one audio token stands for. */
const BYTES_PER_TOKEN = 2560;
const TRANSCRIPT_TOKENS_MAX = 256;

/** What a server that does not know the path answers: uvicorn has only this for a handshake that is refused. */
export function refuseUpgrade(socket: Duplex): void {
  socket.on('error', () => undefined);
  socket.end('HTTP/1.1 403 Forbidden\r\nserver: uvicorn\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
}

export async function acceptRealtime(
  context: SimContext,
  request: IncomingMessage,
  socket: Duplex,
  first: Buffer,
): Promise<void> {
  const logEnd = context.requestLog.began(request);
  socket.once('close', () => logEnd(101, true));
  const { WebSocketServer } = await import('ws');
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: true,
    maxPayload: FRAME_BYTES_MAX,
    // vLLM accepts without naming one.
    handleProtocols: () => false,
  });
  server.handleUpgrade(request, socket, first, (webSocket) =>
    new RealtimeSession(context, webSocket).start(),
  );
}

class RealtimeSession {
  readonly #context: SimContext;
  readonly #socket: WebSocket;
  #model: string | null = null;
  #audio: Buffer[] = [];
  #audioBytes = 0;
  #abort: (() => void) | null = null;

  constructor(context: SimContext, socket: WebSocket) {
    this.#context = context;
    this.#socket = socket;
  }

  start(): void {
    const socket = this.#socket;
    const sockets = this.#context.webSockets;
    const pings = setInterval(() => socket.ping(), PING_INTERVAL_MS).unref();
    sockets.add(socket);
    socket.on('message', (data) => this.#take(data));
    // The close that follows says the same.
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearInterval(pings);
      sockets.delete(socket);
      this.#abort?.();
    });
    this.#send({ type: 'session.created', id: `sess-${newId()}`, created: Math.floor(Date.now() / 1000) });
  }

  #take(data: RawData): void {
    let event: JsonObject;
    try {
      event = JSON.parse(String(data)) as JsonObject;
    } catch {
      this.#error('Invalid JSON', 'invalid_json');
      return;
    }
    switch (event?.['type']) {
      case 'session.update':
        this.#update(event['model']);
        break;
      case 'input_audio_buffer.append':
        this.#append(event['audio']);
        break;
      case 'input_audio_buffer.commit':
        this.#commit(event['final'] === true);
        break;
      default:
        this.#error(`Unknown event type: ${String(event?.['type'])}`, 'unknown_event');
    }
  }

  #update(model: unknown): void {
    const { options, loras } = this.#context;
    if (typeof model === 'string' && (options.servedNames.includes(model) || loras.has(model))) {
      this.#model = model;
    } else {
      this.#error(`The model \`${String(model)}\` does not exist.`, 'model_not_found');
    }
  }

  #append(audio: unknown): void {
    const bytes = Buffer.from(typeof audio === 'string' ? audio : '', 'base64');
    if (bytes.length === 0 || this.#audioBytes + bytes.length > AUDIO_BYTES_MAX) {
      this.#error('Invalid audio data', 'invalid_audio');
      return;
    }
    this.#audio.push(bytes);
    this.#audioBytes += bytes.length;
  }

  #commit(isFinal: boolean): void {
    if (this.#model === null) {
      this.#error('Model not validated. Send a session.update event first.', 'model_not_validated');
      return;
    }
    if (this.#abort !== null || (this.#audioBytes === 0 && !isFinal)) return;
    const { generation, options } = this.#context;
    const hash = createHash('sha256');
    for (const piece of this.#audio) hash.update(piece);
    const prompt = hash.digest('hex');
    const promptTokens = Math.ceil(this.#audioBytes / BYTES_PER_TOKEN);
    this.#audio = [];
    this.#audioBytes = 0;
    const { pieces, finish } = composeAnswer({
      prompt,
      lastUserText: `audio ${prompt.slice(0, 8)}`,
      mode: options.sim.answer,
      sample: 0,
      maxTokens: TRANSCRIPT_TOKENS_MAX,
      minTokens: 0,
      ignoreEos: false,
      naturalTokens: options.sim.answerTokens,
    });
    let text = '';
    let tokens = 0;
    this.#abort = generation.submit({
      requestId: newId(),
      promptTokens,
      pieces,
      finish,
      onToken: (piece) => {
        text += piece;
        tokens += 1;
        this.#send({ type: 'transcription.delta', delta: piece });
      },
      onFinish: () => {
        this.#abort = null;
        const usage = {
          prompt_tokens: promptTokens,
          completion_tokens: tokens,
          total_tokens: promptTokens + tokens,
        };
        this.#send({ type: 'transcription.done', text, usage });
      },
    });
  }

  #error(error: string, code: string): void {
    this.#send({ type: 'error', error, code });
  }

  #send(event: JsonObject): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(event));
  }
}
