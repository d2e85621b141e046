/** The events that tell a waiting stream of its progress: comments, which clients skip, or reasoning text of a chat. */
import type { Lease } from '../control/gate.ts';
import type { ProgressReport } from './progress-track.ts';

/** A comment with a JSON object in it, for people and programs. JSON has no line break outside of strings, and escapes those. */
export function progressComment(report: ProgressReport): string {
  const { phase, percent, readyInS, laterByS, basis, why } = report;
  const later = laterByS === 0 ? {} : { later_by_s: laterByS };
  return comment({ phase, percent, ready_in_s: readyInS, ...later, basis, why });
}

/** Told when an engine has the request: what answers without progress carry as headers. */
export function leaseComment(lease: Lease, percent: number | null): string {
  return comment({
    phase: 'answering',
    percent,
    ready_in_s: null,
    load: lease.load,
    queue_wait_ms: Math.round(lease.waitedMs),
    queue_depth: lease.queueDepth,
    why: 'its engine works on the request; nobody can tell when the first byte comes',
  });
}

export interface ChatStream {
  readonly requestId: string;
  readonly model: string;
  /** Seconds since 1970. */
  readonly createdS: number;
}

/** The chunk that begins a chat stream: it names the role. */
export function roleChunk(stream: ChatStream): string {
  return chatChunk(stream, { role: 'assistant', content: '' });
}

/** One line of reasoning text, under both names that chat UIs look for. */
export function reasoningChunk(stream: ChatStream, report: ProgressReport): string {
  const line = progressLine(stream.model, report);
  return chatChunk(stream, { reasoning_content: line, reasoning: line });
}

function progressLine(model: string, { phase, percent, readyInS, laterByS, why }: ProgressReport): string {
  const parts = [phase];
  if (percent !== null) parts.push(`${percent} %`);
  if (readyInS !== null) parts.push(`ready in about ${Math.max(1, Math.round(readyInS))} s`);
  if (laterByS > 0) parts.push(`${Math.round(laterByS)} s later than was said`);
  return `${model}: ${parts.join(', ')} (${why})`.replaceAll(/\s+/g, ' ').concat('\n');
}

function chatChunk({ requestId, model, createdS }: ChatStream, delta: object): string {
  const chunk = {
    id: `chatcmpl-${requestId}`,
    object: 'chat.completion.chunk',
    created: createdS,
    model,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: null }],
  };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

function comment(value: object): string {
  return `: ${JSON.stringify(value)}\n\n`;
}
