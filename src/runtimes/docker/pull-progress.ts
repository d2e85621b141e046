/** The events of a pull as one line for people. Pure. */

export interface PullProgress {
  take(event: unknown): void;
  bytesDone(): number;
  /** Null until Docker has told the size of any layer; grows as it tells more. */
  bytesTotal(): number | null;
  /** `3 of 12 layers, 1.2 of 8.4 GiB`. */
  text(): string;
}

const GIB = 1024 ** 3;

interface Layer {
  readonly current: number;
  readonly total: number;
  readonly isDone: boolean;
}

export function createPullProgress(): PullProgress {
  const layers = new Map<string, Layer>();
  const sum = (of: (layer: Layer) => number): number =>
    [...layers.values()].reduce((bytes, layer) => bytes + of(layer), 0);
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
    bytesDone: () => sum(({ current }) => current),
    bytesTotal() {
      const total = sum((layer) => layer.total);
      return total === 0 ? null : total;
    },
    text() {
      const done = [...layers.values()].filter(({ isDone }) => isDone).length;
      const [current, total] = [sum((layer) => layer.current), sum((layer) => layer.total)];
      return `${done} of ${layers.size} layers, ${(current / GIB).toFixed(1)} of ${(total / GIB).toFixed(1)} GiB`;
    },
  };
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}
