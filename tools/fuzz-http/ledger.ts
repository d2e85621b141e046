/** What engines may get, written down before a client sends it; the only one who says that something went wrong. */
import type { Script } from './script.ts';
import { keyOf, type StrictRequest, valuesOf } from './strict-reader.ts';
import { MARK } from './valid-request.ts';

export class Ledger {
  readonly violations: string[] = [];
  /** How many times each may still come. */
  readonly #expected = new Map<string, number>();

  open(script: Script): void {
    for (const key of engineKeys(script)) this.#expected.set(key, (this.#expected.get(key) ?? 0) + 1);
  }

  /** After its connection has ended, and nothing of it can come any more. */
  close(script: Script): void {
    for (const key of engineKeys(script)) this.#expected.delete(key);
  }

  received(key: string, request: StrictRequest): void {
    const left = this.#expected.get(key) ?? 0;
    if (left > 0) {
      this.#expected.set(key, left - 1);
      return;
    }
    this.violation(
      `an engine got a request that nobody sent, or twice: ${key} ${request.method} ${request.target} ${JSON.stringify(request.body.slice(0, 200))}`,
    );
  }

  violation(text: string): void {
    this.violations.push(text);
  }
}

/** Of the complete requests of a script. */
function engineKeys({ reading }: Script): string[] {
  return reading.requests.map(requestKey);
}

/** Marks that `Connection` names do not reach an engine. */
export function requestKey(request: StrictRequest): string {
  const named = valuesOf(request, 'connection')
    .join(',')
    .toLowerCase()
    .split(/[ \t]*,[ \t]*/);
  return keyOf(request.method, named.includes(MARK) ? [] : valuesOf(request, MARK), request.body);
}
