/** Event streams in vLLM's frames, and the faults that happen in the middle of one. */
import type { SimContext } from './context.ts';
import { type ApiError, type Exchange, errorBody, prepareHead } from './exchange.ts';

export interface EventStream {
  /** `data: {json}`. */
  data(payload: unknown): void;
  /** `event: type` and `data: {json}`. */
  event(type: string, payload: unknown): void;
  /** `data: [DONE]`. */
  done(): void;
  end(): void;
  /** The stream has ended, by us, by a fault or by the client. */
  ended(): boolean;
}

export interface StreamDialect {
  /** How an error looks in the middle of this kind of stream. */
  error(stream: EventStream, error: ApiError): void;
}

/** Chat and completions: the error in a data frame, then the usual end. */
export const OPENAI_DIALECT: StreamDialect = {
  error(stream, error) {
    stream.data(errorBody(error));
    stream.done();
  },
};

/** Sends the head at once; each frame is a chunk of its own. */
export function openStream(
  context: SimContext,
  exchange: Exchange,
  dialect: StreamDialect,
  faultError: ApiError,
): EventStream {
  const { response } = exchange;
  const { faults } = context;
  let frames = 0;
  let ended = false;
  prepareHead(exchange);
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  response.once('close', () => {
    ended = true;
  });
  const keepAlive = keepAliveComments(context, exchange);
  const finish = (): void => {
    if (ended) return;
    ended = true;
    response.end();
  };
  const write = (frame: string): void => {
    if (ended) return;
    if (faults.errorFrameAfterChunks !== null && frames === faults.errorFrameAfterChunks) {
      frames++;
      dialect.error(stream, faultError);
      finish();
      return;
    }
    response.write(frame);
    keepAlive?.refresh();
    frames++;
    if (frames === faults.resetAfterChunks) {
      ended = true;
      // Only TCP knows a reset; on a Unix socket the broken chunked body says the same.
      if (response.socket?.remoteAddress === undefined) response.socket?.destroy();
      else response.socket.resetAndDestroy();
    }
    if (frames === faults.crashAfterChunks) {
      context.core.killNow();
      process.kill(process.pid, 'SIGSEGV');
    }
  };
  const stream: EventStream = {
    data: (payload) => write(`data: ${JSON.stringify(payload)}\n\n`),
    event: (type, payload) => write(`event: ${type}\ndata: ${JSON.stringify(payload)}\n\n`),
    done: () => write('data: [DONE]\n\n'),
    end: finish,
    ended: () => ended,
  };
  return stream;
}

/** Comment lines while a stream says nothing (`--sse-keep-alive-interval`); each frame puts the next one off. */
function keepAliveComments(context: SimContext, exchange: Exchange): NodeJS.Timeout | null {
  const seconds = context.options.sseKeepAliveS;
  if (seconds <= 0) return null;
  const { response } = exchange;
  const timer = setInterval(() => {
    if (!response.writableEnded) response.write(': keep-alive\n\n');
  }, seconds * 1000);
  response.once('close', () => clearInterval(timer));
  return timer;
}
