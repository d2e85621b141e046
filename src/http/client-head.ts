/** Makes the head for the client from an engine's: what is the engine's passes, what is ours is added. */
import type { Lease } from '../control/gate.ts';
import type { AnswerHead } from '../proxy/answer.ts';
import { clientHeaders } from './hop-headers.ts';

const PRINTABLE_ASCII = /^[ -~]*$/;

export interface ClientHeadInput {
  readonly requestId: string;
  readonly lease: Lease;
  readonly method: string;
  /** HTTP/1.1 or later: the client understands chunks. */
  readonly takesChunks: boolean;
  /** What it says to web pages: a flat list, empty where nothing is said. */
  readonly cors: readonly string[];
  /** The connection ends with this answer. */
  readonly isLast: boolean;
}

export function clientHead(
  status: number,
  statusText: string,
  rawHeaders: readonly string[],
  input: ClientHeadInput,
): AnswerHead {
  const { requestId, lease } = input;
  const { headers, eventStream, contentLength } = clientHeaders(rawHeaders, {
    requestId,
    hasLength: status !== 204,
    extra: [
      'x-model',
      headerText(lease.model),
      'x-load',
      lease.load,
      'x-queue-wait-ms',
      String(Math.round(lease.waitedMs)),
      'x-queue-depth',
      String(lease.queueDepth),
    ],
  });
  for (const part of input.cors) headers.push(part);
  const bodyless = status === 204 || status === 304 || input.method === 'HEAD';
  const endless = !bodyless && contentLength === null;
  const chunked = endless && input.takesChunks;
  if (chunked) headers.push('transfer-encoding', 'chunked');
  if (input.isLast) headers.push('connection', 'close');
  return {
    status,
    statusText,
    headers,
    eventStream,
    contentLength,
    chunked,
    endsWithConnection: endless && !chunked,
    sent: false,
  };
}

/** For an event stream whose early head went out already: its bytes pass as they come. */
export function continuedHead(takesChunks: boolean): AnswerHead {
  return {
    status: 200,
    statusText: '',
    headers: [],
    eventStream: true,
    contentLength: null,
    chunked: takesChunks,
    endsWithConnection: !takesChunks,
    sent: true,
  };
}

/** A name as a header value: percent-encoded where it holds more than printable ASCII. */
export function headerText(text: string): string {
  return PRINTABLE_ASCII.test(text) ? text : encodeURIComponent(text.toWellFormed());
}
