/** The chart of docs/performance.md: two groups of bars, each with nginx as one. Plain SVG, readable on light and dark. */
import type { CostRow } from './cost.ts';

const WIDTH = 720;
const BAR_HEIGHT = 22;
const GAP = 8;
const LABEL_WIDTH = 120;
const HEAD_HEIGHT = 34;
/** Bars longer than this many times nginx are cut off and say so. */
const RATIO_SHOWN_MAX = 6;
const COLOURS: Readonly<Record<string, string>> = { gateway: '#2f7ed8', nginx: '#8a8f98' };
const OTHER_COLOUR = '#c2873e';

export function costChart(rows: readonly CostRow[]): string {
  const unary = rows.map(({ name, perRequest }) => ({ name, value: perRequest }));
  const chunks = rows.map(({ name, perChunk }) => ({ name, value: perChunk }));
  const groupHeight = HEAD_HEIGHT + rows.length * (BAR_HEIGHT + GAP) + GAP;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${groupHeight * 2}" font-family="sans-serif" font-size="13">`,
    group('CPU of a request, over nginx', unary, 0),
    group('CPU of a streamed chunk, over nginx', chunks, groupHeight),
    '</svg>\n',
  ].join('\n');
}

interface Bar {
  readonly name: string;
  readonly value: number | null;
}

function group(title: string, bars: readonly Bar[], top: number): string {
  const scale = (WIDTH - LABEL_WIDTH - 90) / RATIO_SHOWN_MAX;
  const lines = [`<text x="0" y="${top + 20}" fill="#808691" font-weight="bold">${title}</text>`];
  bars.forEach(({ name, value }, index) => {
    const y = top + HEAD_HEIGHT + index * (BAR_HEIGHT + GAP);
    const middle = y + BAR_HEIGHT * 0.72;
    const length = Math.round(Math.min(value ?? 0, RATIO_SHOWN_MAX) * scale);
    const isCut = value !== null && value > RATIO_SHOWN_MAX;
    const told =
      value === null ? 'no whole streams' : `${value.toFixed(value < 10 ? 2 : 0)}${isCut ? ' →' : ''}`;
    lines.push(
      `<text x="${LABEL_WIDTH - 8}" y="${middle}" text-anchor="end" fill="#808691">${name}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${length}" height="${BAR_HEIGHT}" fill="${COLOURS[name] ?? OTHER_COLOUR}"/>`,
      `<text x="${LABEL_WIDTH + length + 6}" y="${middle}" fill="#808691">${told}</text>`,
    );
  });
  return lines.join('\n');
}
