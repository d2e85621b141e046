/** What the headers of an engine's answer say about the length of its body and the life of its connection. */
import { MalformedAnswer } from './transport-fault.ts';

const CONTENT_LENGTH_DIGITS_MAX = 15;

export class AnswerFraming {
  /** Bytes; null without the header. */
  contentLength: number | null = null;
  chunked = false;
  /** From `Keep-Alive: timeout=`, in milliseconds; null without one. */
  keepAliveHintMs: number | null = null;
  readonly #isHttp11: boolean;
  #saysClose = false;
  #saysKeepAlive = false;

  constructor(isHttp11: boolean) {
    this.#isHttp11 = isHttp11;
  }

  /** One `close` outweighs everything else, in whichever header it stands. */
  get keepAlive(): boolean {
    return !this.#saysClose && (this.#isHttp11 || this.#saysKeepAlive);
  }

  get announcesBody(): boolean {
    return this.chunked || (this.contentLength !== null && this.contentLength > 0);
  }

  /** Call it after the last header. */
  check(): void {
    if (!this.chunked) return;
    if (this.contentLength !== null) throw new MalformedAnswer('both Content-Length and Transfer-Encoding');
    // RFC 9112 section 6.1: whoever says 1.0 and sends chunks may mean something else by them.
    if (!this.#isHttp11) throw new MalformedAnswer('Transfer-Encoding in HTTP/1.0');
  }

  /** The lengths of the four names differ, so most headers cost one comparison. */
  look(name: string, value: string): void {
    if (name.length === 14 && name.toLowerCase() === 'content-length') {
      if (!/^\d+$/.test(value) || value.length > CONTENT_LENGTH_DIGITS_MAX) {
        throw new MalformedAnswer('its Content-Length is not a number');
      }
      if (this.contentLength !== null) throw new MalformedAnswer('Content-Length stands twice');
      this.contentLength = Number(value);
    } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      if (this.chunked || value.toLowerCase() !== 'chunked') {
        throw new MalformedAnswer('its Transfer-Encoding is not `chunked`');
      }
      this.chunked = true;
    } else if (name.length === 10) {
      const lower = name.toLowerCase();
      if (lower === 'connection') this.#lookAtConnection(value.toLowerCase());
      else if (lower === 'keep-alive') this.#lookAtKeepAlive(value);
    }
  }

  #lookAtConnection(value: string): void {
    const options = value.split(',').map((option) => option.trim());
    if (options.includes('close')) this.#saysClose = true;
    if (options.includes('keep-alive')) this.#saysKeepAlive = true;
  }

  #lookAtKeepAlive(value: string): void {
    const seconds = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(value)?.[1];
    if (seconds !== undefined) this.keepAliveHintMs = Number(seconds) * 1000;
  }
}
