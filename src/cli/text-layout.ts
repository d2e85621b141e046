/** Lines for people: columns, wrapped text, and figures short enough for a column. */

/** No line is longer, unless a single word is. */
export const LINE_WIDTH = 100;

/** `text` in lines of at most `LINE_WIDTH`; the first begins with `first`, the others with as many blanks. */
export function wrapped(first: string, text: string): readonly string[] {
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > LINE_WIDTH) {
      lines.push(line);
      line = ' '.repeat(first.length);
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line.trimEnd()];
}

/**
 * Columns two blanks apart, the first two blanks in; the first and the last column are aligned left, the others right. A first
 * cell that would make a line too long has one of its own.
 */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const others = widths.slice(1).reduce((sum, width) => sum + width + 2, 2);
  const nameMax = Math.max(8, LINE_WIDTH - others);
  const fitting = rows.map((row) => row[0]?.length ?? 0).filter((length) => length <= nameMax);
  const nameWidth = Math.max(0, ...fitting);
  return rows.flatMap((row) => {
    const [name = '', ...cells] = row;
    const rest = cells.map((cell, index) =>
      index === count - 2 ? cell : cell.padStart(widths[index + 1] ?? 0),
    );
    const isLong = name.length > nameWidth;
    const line = `  ${[(isLong ? '' : name).padEnd(nameWidth), ...rest].join('  ')}`.trimEnd();
    return isLong ? [`  ${name}`, line] : [line];
  });
}

export function memory(mib: number): string {
  return mib >= 1024 ? `${(mib / 1024).toFixed(1)} GiB` : `${Math.round(mib)} MiB`;
}

export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
