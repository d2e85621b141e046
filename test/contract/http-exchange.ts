/** One raw HTTP exchange with an engine: nothing is retried, decoded or hidden, because the contract is about these bytes. */
import { Agent, type IncomingMessage, request } from 'node:http';

/** Where an engine listens. */
export type EngineAddress =
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string };

export interface ExchangeRequest {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as application/json unless `headers` says otherwise. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: string;
  /** Longest wait for the end of the answer; afterwards the client leaves. */
  readonly patienceMs?: number;
  /** The client leaves when the answer so far holds this text. */
  readonly leaveAt?: string;
  /** Told once, when the answer so far holds this text; the exchange goes on. */
  readonly notify?: { readonly at: string; readonly call: () => void };
}

export interface ExchangeAnswer {
  /** Null when no head of an answer came. */
  readonly status: number | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly end: 'complete' | 'cut' | 'client left' | 'no answer' | 'refused';
}

const patienceDefaultMs = 60_000;

/** Performs one exchange over a connection of its own, which stays open as a keep-alive client's would. Never rejects. */
export function exchange(address: EngineAddress, asked: ExchangeRequest): Promise<ExchangeAnswer> {
  const body = asked.json === undefined ? asked.body : JSON.stringify(asked.json);
  const headers: Record<string, string> = {};
  if (asked.json !== undefined) headers['content-type'] = 'application/json';
  if (body !== undefined) headers['content-length'] = String(Buffer.byteLength(body));
  const agent = new Agent({ keepAlive: true });
  return new Promise((resolve) => {
    let answer: IncomingMessage | null = null;
    let text = '';
    let isSettled = false;
    let isNotified = false;
    const settle = (end: ExchangeAnswer['end']): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      agent.destroy();
      const raw = answer?.rawHeaders ?? [];
      const pairs = raw.flatMap((name, i) =>
        i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1] ?? ''] as const] : [],
      );
      resolve({ status: answer?.statusCode ?? null, headers: pairs, body: text, end });
    };
    const leave = (end: ExchangeAnswer['end']): void => {
      settle(end);
      outgoing.destroy();
    };
    const timer = setTimeout(
      () => leave(answer === null ? 'no answer' : 'client left'),
      asked.patienceMs ?? patienceDefaultMs,
    );
    const outgoing = request(
      {
        ...address,
        agent,
        method: asked.method ?? (body === undefined ? 'GET' : 'POST'),
        path: asked.path,
        headers: { ...headers, ...asked.headers },
      },
      (incoming) => {
        answer = incoming;
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => {
          text += chunk;
          if (asked.notify !== undefined && !isNotified && text.includes(asked.notify.at)) {
            isNotified = true;
            asked.notify.call();
          }
          if (asked.leaveAt !== undefined && text.includes(asked.leaveAt)) leave('client left');
        });
        incoming.on('end', () => settle(incoming.complete ? 'complete' : 'cut'));
        incoming.on('error', () => settle('cut'));
      },
    );
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      settle(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'refused' : 'cut');
    });
    outgoing.end(body);
  });
}
