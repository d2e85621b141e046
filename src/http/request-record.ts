/** What an exchange notes of its request for the observer, as it learns it. */
import type { LoadKind } from '../control/gate.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import type { RequestEnd, RequestOutcome } from './request-observer.ts';

export abstract class RequestRecord implements RequestEnd {
  clientRequestId = '';
  model: ModelName | null = null;
  outcome: RequestOutcome = 'refused';
  status = 0;
  code: ErrorCode | null = null;
  load: LoadKind | null = null;
  streamed = false;
  waitMs = 0;
  ttfbMs: number | null = null;
  durationMs = 0;
  requestBytes = 0;
  responseBytes = 0;
  attempts = 0;
  streamErrors = 0;
  label = 'none';
  principal: string | null = null;

  abstract get method(): string;
  abstract get target(): string;
  abstract get clientAddress(): string | null;
}
