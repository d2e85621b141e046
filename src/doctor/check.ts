/** The result of one look of `doctor`. */
export interface Check {
  /** Stable word for programs. */
  readonly id: string;
  readonly status: 'ok' | 'warn' | 'fail';
  /** What was found, without a closing dot. */
  readonly found: string;
  /** One sentence; null where there is nothing to do. */
  readonly remedy: string | null;
}

export function ok(id: string, found: string): Check {
  return { id, status: 'ok', found, remedy: null };
}

export function warn(id: string, found: string, remedy: string): Check {
  return { id, status: 'warn', found, remedy };
}

export function fail(id: string, found: string, remedy: string): Check {
  return { id, status: 'fail', found, remedy };
}

/** `24 GiB`, or `900 MiB` below one. */
export function sizeText(mib: number): string {
  return mib < 1024 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(mib < 10_240 ? 1 : 0)} GiB`;
}
