/** Node's request and response with one field each for the front, so that shared listeners find their object. */
import { IncomingMessage, ServerResponse } from 'node:http';
import type { BodyReader } from './body-reader.ts';

export class FrontRequest extends IncomingMessage {
  bodyReader: BodyReader | null = null;
}

/** Who wants to know that the connection under a response is gone. Called once, also after a complete answer. */
export interface CloseListener {
  responseClosed(): void;
}

export class FrontResponse extends ServerResponse<FrontRequest> {
  closeListener: CloseListener | null = null;
}
