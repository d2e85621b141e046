/** The events of a pull as one line for people. Pure. */

export interface PullProgress {
  take(event: unknown): void;
  /** `3 of 12 layers, 1.2 of 8.4 GiB`. */
  text(): string;
}

const GIB = 1024 ** 3;

export function createPullProgress(): PullProgress {
  const layers = new Map<
    string,
    { readonly current: number; readonly total: number; readonly isDone: boolean }
  >();
  return {
    take(event) {
      if (typeof event !== 'object' || event === null) return;
      const { id, status, progressDetail } = event as {
        readonly id?: unknown;
        readonly status?: unknown;
        readonly progressDetail?: { readonly current?: unknown; readonly total?: unknown };
      };
      if (typeof id !== 'string' || typeof status !== 'string' || status.startsWith('Pulling from')) return;
      const before = layers.get(id) ?? { current: 0, total: 0, isDone: false };
      const isDone = status === 'Pull complete' || status === 'Already exists';
      // Extracting counts the same bytes again.
      if (status !== 'Downloading') {
        layers.set(id, { ...before, isDone, current: isDone ? before.total : before.current });
        return;
      }
      const { current, total } = progressDetail ?? {};
      layers.set(id, { current: numberOr(current, 0), total: numberOr(total, before.total), isDone });
    },
    text() {
      const all = [...layers.values()];
      const sum = (of: (layer: (typeof all)[number]) => number): string =>
        (all.reduce((bytes, layer) => bytes + of(layer), 0) / GIB).toFixed(1);
      const done = all.filter(({ isDone }) => isDone).length;
      return `${done} of ${all.length} layers, ${sum(({ current }) => current)} of ${sum(({ total }) => total)} GiB`;
    },
  };
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}
