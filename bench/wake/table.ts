/** Times of many moves as a table: in all, the engine's own part, and the rest, which is ours. */

export interface Row {
  readonly what: string;
  readonly totalMs: readonly number[];
  /** Of each of them, what the engine itself takes. */
  readonly engineMs: readonly number[];
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

const HEADER = ['move', 'count', 'total ms', "engine's ms", 'ours: mean', 'worst', 'share'];

export function table(rows: readonly Row[]): string {
  const cells = [HEADER, ...rows.map(cellsOf)];
  const widths = HEADER.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join('  ');
  return cells.map(line).join('\n');
}

function cellsOf({ what, totalMs, engineMs }: Row): readonly string[] {
  const ours = totalMs.map((ms, index) => ms - (engineMs[index] ?? 0));
  const total = mean(totalMs);
  const share = total === 0 ? '' : `${((100 * mean(ours)) / total).toFixed(1)} %`;
  const numbers = [total, mean(engineMs), mean(ours), Math.max(...ours)].map((ms) => ms.toFixed(1));
  return [what, String(totalMs.length), ...numbers, share];
}
