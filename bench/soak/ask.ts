/** What clients of the soak ask, and how an ask can end. Every ask has a number that its answer must give back. */

/** How a client leaves before its answer is complete: after a time, or when so much of the answer has come. */
export type Leaving = { readonly afterMs: number } | { readonly atBytes: number };

interface CommonAsk {
  readonly number: number;
  readonly kind: string;
  readonly path: string;
  readonly leaving: Leaving | null;
  /** Who gives the answer that is wanted. */
  readonly by: 'engine' | 'gateway';
}

export interface HttpAsk extends CommonAsk {
  readonly transport: 'http';
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Pieces in which the body is sent, and the pause between them. */
  readonly pieces: number;
  readonly pauseMs: number;
  /** The client rests so long again and again; 0: it reads at once. */
  readonly readPauseMs: number;
  /** The answer is an event stream. */
  readonly streams: boolean;
  /** Status that the engine or the gateway must answer with, where it is not an error of the moment. */
  readonly status: number;
  /** What the answer's text must begin with; null: see `contains`. */
  readonly echo: string | null;
  /** What the answer must hold as it came; null: nothing. */
  readonly contains: string | null;
}

export interface SocketAsk extends CommonAsk {
  readonly transport: 'socket';
  readonly model: string;
  /** Audio that is committed one after the other, with a pause between. */
  readonly utterances: readonly Buffer[];
  readonly pauseMs: number;
}

export type Ask = HttpAsk | SocketAsk;

/**
 * `answered`: whole, and the ask's own. `error`: whole, says whose error it is. `left`: the client's own leaving. `unsent`: a kept
 * connection ended as it was used again, and nobody has seen the request. `wrong`: whatever may not be.
 */
export type Ending =
  | { readonly kind: 'answered'; readonly status: number; readonly text: string }
  | { readonly kind: 'error'; readonly status: number; readonly code: string; readonly origin: string }
  | { readonly kind: 'left' }
  | { readonly kind: 'unsent' }
  | { readonly kind: 'wrong'; readonly detail: string };

export interface Entry {
  readonly number: number;
  readonly id: string;
  readonly kind: string;
  readonly by: Ask['by'];
  readonly ending: Ending;
}

/** As X-Request-Id, in the books of gateway and engines. */
export function requestId(seed: number, number: number): string {
  return `soak-${seed}-${number}`;
}
