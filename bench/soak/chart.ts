/** Memory and open files over the time of a soak, as plain SVG, readable on light and dark. */
import type { Sample } from './samples.ts';

const WIDTH = 760;
const PANEL_HEIGHT = 170;
const LEFT = 60;
const HEAD = 26;
const FOOT = 18;
const GREY = '#808691';

type Figure = Exclude<keyof Sample, 'seconds'>;

const PANELS: readonly (readonly [figure: Figure, title: string, colour: string])[] = [
  ['residentMib', 'resident memory, MiB', '#2f7ed8'],
  ['heapMib', 'heap in use, MiB', '#c2873e'],
  ['openFiles', 'open files', '#5a9e6f'],
];

export function soakChart(samples: readonly Sample[]): string {
  const height = PANEL_HEIGHT * PANELS.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    ...PANELS.map(([figure, title, colour], index) =>
      panel(samples, figure, title, colour, index * PANEL_HEIGHT),
    ),
    '</svg>\n',
  ].join('\n');
}

function panel(
  samples: readonly Sample[],
  figure: Figure,
  title: string,
  colour: string,
  top: number,
): string {
  const most = Math.max(1, ...samples.map((sample) => sample[figure])) * 1.1;
  const seconds = Math.max(1, samples.at(-1)?.seconds ?? 1);
  const bottom = top + PANEL_HEIGHT - FOOT;
  const x = (value: number): string => (LEFT + (value / seconds) * (WIDTH - LEFT - 10)).toFixed(1);
  const y = (value: number): string => (bottom - (value / most) * (PANEL_HEIGHT - HEAD - FOOT)).toFixed(1);
  const points = samples.map((sample) => `${x(sample.seconds)},${y(sample[figure])}`).join(' ');
  return [
    `<text x="${LEFT}" y="${top + 16}" fill="${GREY}" font-weight="bold">${title}</text>`,
    `<text x="${LEFT - 6}" y="${bottom}" text-anchor="end" fill="${GREY}">0</text>`,
    `<text x="${LEFT - 6}" y="${top + HEAD + 8}" text-anchor="end" fill="${GREY}">${most.toFixed(0)}</text>`,
    `<text x="${WIDTH - 10}" y="${bottom + 14}" text-anchor="end" fill="${GREY}">${(seconds / 60).toFixed(1)} min</text>`,
    `<line x1="${LEFT}" y1="${bottom}" x2="${WIDTH - 10}" y2="${bottom}" stroke="${GREY}"/>`,
    `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="1.5"/>`,
  ].join('\n');
}
