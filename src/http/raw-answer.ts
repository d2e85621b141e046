/** Answers of ours for connections that have no response object: their parser is gone, or they left HTTP. */
import { STATUS_CODES } from 'node:http';
import type { ErrorAnswer } from './error-body.ts';

/** A whole answer that ends its connection. */
export function rawAnswer({ status, headers, body }: ErrorAnswer): Buffer {
  const head = rawHead(status, STATUS_CODES[status] ?? 'Error', ['connection', 'close', ...headers]);
  return Buffer.concat([head, body]);
}

/** Status line and headers; `headers` is flat. */
export function rawHead(status: number, statusText: string, headers: readonly string[]): Buffer {
  let head = `HTTP/1.1 ${status} ${statusText}\r\n`;
  for (let index = 0; index + 1 < headers.length; index += 2)
    head += `${headers[index]}: ${headers[index + 1]}\r\n`;
  return Buffer.from(`${head}\r\n`, 'latin1');
}
