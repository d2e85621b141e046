/**
 * Draws a run: what each device held over time, its moves, and who waited. A pure function from data to one self-contained SVG,
 * for files and for the console.
 */
import { countTicks, type Tick, timeTicks, timeUnit } from './axis.ts';
import { type ModelColour, modelColour } from './colours.ts';
import type { DeviceLane, Hold, ModelQueue, SimulationPicture } from './simulation-picture.ts';
import { type AreaColumn, short, stepAreas } from './step-areas.ts';

const WIDTH = 1400;
const LEFT = 128;
const RIGHT = 20;
const PLOT = WIDTH - LEFT - RIGHT;
const LANE_GAP = 10;
const QUEUE_HEIGHT = 120;
const MIB_PER_GIB = 1024;
/** Queues are drawn one by one for so many models, those who waited most; the others are one grey area. */
const QUEUES_DRAWN = 12;
const LEGEND_MODELS = 35;
const LEGEND_COLUMNS = 6;
const LEGEND_ROW = 18;
const LEGEND_NAME_CHARS = 28;
const OTHERS = '';
const OTHERS_COLOUR = '#b8bec9';
const STYLE =
  'text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:#3c4350}' +
  '.title{font-size:18px;font-weight:600;fill:#161a22}.name{font-weight:600;fill:#161a22}.faint{fill:#747c8b;font-size:11px}' +
  '.grid{stroke:#dfe3ea;stroke-width:1}.frame{fill:#f5f6f9;stroke:#c9cfd9}.budget{stroke:#8b93a3;stroke-dasharray:4 3}';

interface Layout {
  readonly picture: SimulationPicture;
  readonly colourOf: (model: string) => ModelColour;
  readonly xOf: (ms: number) => number;
  readonly ticks: readonly Tick[];
}

/** The text of an SVG file. */
export function pictureSvg(picture: SimulationPicture): string {
  const places = new Map(picture.models.map((model, index) => [model, index]));
  const endMs = Math.max(1, picture.endMs);
  const layout: Layout = {
    picture,
    colourOf: (model) => modelColour(places.get(model) ?? 0),
    xOf: (ms) => LEFT + (PLOT * Math.min(ms, endMs)) / endMs,
    ticks: timeTicks(endMs),
  };
  const head = headText(picture);
  const laneHeight = heightOfLanes(picture.lanes.length);
  const parts = [head.text];
  let y = head.height;
  const topY = y;
  for (const lane of picture.lanes) {
    parts.push(laneText(layout, lane, y, laneHeight));
    y += laneHeight + LANE_GAP;
  }
  y += 14;
  parts.push(queueText(layout, y));
  y += QUEUE_HEIGHT;
  parts.push(axisText(layout, topY, y));
  y += 44;
  const legend = legendText(layout, y);
  parts.push(legend.text);
  const height = y + legend.height;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(picture.title)}">`,
    `<style>${STYLE}</style>`,
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V5" stroke="#161a22" stroke-opacity=".55" stroke-width="2"/></pattern></defs>',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function headText({ title, subtitles }: SimulationPicture): { text: string; height: number } {
  const lines = subtitles.map((line, index) => text(20, 54 + 17 * index, line));
  const height = 54 + 17 * subtitles.length + 4;
  return { text: [text(20, 30, title, 'class="title"'), ...lines].join('\n'), height };
}

/** Few devices get higher lanes. */
function heightOfLanes(count: number): number {
  return Math.max(26, Math.min(200, Math.round(560 / Math.max(1, count))));
}

function laneText(layout: Layout, lane: DeviceLane, y: number, height: number): string {
  const bottomY = y + height;
  const perMib = height / lane.memoryMib;
  const columns = lane.slices.map(
    ({ fromMs, toMs, holds }): AreaColumn => ({
      fromX: layout.xOf(fromMs),
      toX: layout.xOf(toMs),
      parts: sleepersLast(holds).map(({ model, state, mib }) => ({
        key: `${state} ${model}`,
        height: mib * perMib,
      })),
    }),
  );
  const budgetY = short(bottomY - lane.budgetMib * perMib);
  return [
    `<rect x="${LEFT}" y="${y}" width="${PLOT}" height="${height}" class="frame"/>`,
    ...[...stepAreas(columns, bottomY)].map(([key, path]) => holdPath(layout, key, path)),
    `<path d="M${LEFT} ${budgetY}H${LEFT + PLOT}" class="budget"/>`,
    text(LEFT - 10, y + height / 2 - 1, shortened(lane.device, 16), 'class="name" text-anchor="end"'),
    text(
      LEFT - 10,
      y + height / 2 + 13,
      `${Math.round(lane.memoryMib / MIB_PER_GIB)} GiB`,
      'class="faint" text-anchor="end"',
    ),
  ].join('\n');
}

/** Who is awake stands at the bottom; what sleepers leave lies on top. */
function sleepersLast(holds: readonly Hold[]): readonly Hold[] {
  return [
    ...holds.filter(({ state }) => state !== 'asleep'),
    ...holds.filter(({ state }) => state === 'asleep'),
  ];
}

function holdPath({ colourOf }: Layout, key: string, path: string): string {
  const state = key.slice(0, key.indexOf(' '));
  const model = key.slice(state.length + 1);
  const { plain, dark } = colourOf(model);
  const title = `<title>${escaped(`${model}, ${state}`)}</title>`;
  const fill = state === 'moving' ? dark : plain;
  const body = `<path d="${path}" fill="${fill}">${title}</path>`;
  return state === 'asleep' ? `${body}<path d="${path}" fill="url(#hatch)" pointer-events="none"/>` : body;
}

function queueText({ picture, colourOf, xOf }: Layout, y: number): string {
  const { queueColumnMs } = picture;
  const drawn = drawnQueues(picture.queues);
  const count = Math.max(0, ...drawn.map(({ lengths }) => lengths.length));
  const totals = Array.from({ length: count }, (_, column) =>
    drawn.reduce((sum, { lengths }) => sum + (lengths[column] ?? 0), 0),
  );
  const ticks = countTicks(totals.reduce((most, total) => Math.max(most, total), 0));
  const perRequest = QUEUE_HEIGHT / (ticks.at(-1)?.value ?? 1);
  const bottomY = y + QUEUE_HEIGHT;
  const columns = totals.map(
    (_, column): AreaColumn => ({
      fromX: xOf(column * queueColumnMs),
      toX: xOf((column + 1) * queueColumnMs),
      parts: drawn.map(({ model, lengths }) => ({ key: model, height: (lengths[column] ?? 0) * perRequest })),
    }),
  );
  const areas = [...stepAreas(columns, bottomY)].map(([model, path]) => {
    const [fill, name] = model === OTHERS ? [OTHERS_COLOUR, 'others'] : [colourOf(model).plain, model];
    return `<path d="${path}" fill="${fill}"><title>${escaped(name)}</title></path>`;
  });
  const marks = ticks.map(({ value, label }) => {
    const tickY = bottomY - value * perRequest;
    const line = value === 0 ? '' : `<path d="M${LEFT} ${short(tickY)}H${LEFT + PLOT}" class="grid"/>`;
    return line + text(LEFT - 10, tickY + 4, label, 'class="faint" text-anchor="end"');
  });
  return [
    `<rect x="${LEFT}" y="${y}" width="${PLOT}" height="${QUEUE_HEIGHT}" class="frame"/>`,
    ...marks,
    ...areas,
    text(20, y + QUEUE_HEIGHT / 2 - 1, 'waiting', 'class="name"'),
    text(20, y + QUEUE_HEIGHT / 2 + 13, 'requests', 'class="faint"'),
  ].join('\n');
}

/** Those who waited most, and the sum of all others under an empty name. */
function drawnQueues(queues: readonly ModelQueue[]): readonly ModelQueue[] {
  const waited = ({ lengths }: ModelQueue) => lengths.reduce((sum, length) => sum + length, 0);
  const sorted = queues
    .map((queue) => ({ queue, sum: waited(queue) }))
    .filter(({ sum }) => sum > 0)
    .sort((a, b) => b.sum - a.sum)
    .map(({ queue }) => queue);
  const others = sorted.slice(QUEUES_DRAWN);
  if (others.length === 0) return sorted;
  const count = Math.max(...others.map(({ lengths }) => lengths.length));
  const lengths = Array.from({ length: count }, (_, column) =>
    others.reduce((sum, queue) => sum + (queue.lengths[column] ?? 0), 0),
  );
  return [...sorted.slice(0, QUEUES_DRAWN), { model: OTHERS, lengths }];
}

function axisText({ picture, xOf, ticks }: Layout, topY: number, bottomY: number): string {
  const marks = ticks.map(({ value, label }) => {
    const x = short(xOf(value));
    return `<path d="M${x} ${topY}V${bottomY + 5}" stroke="#161a22" stroke-opacity=".13"/>${text(Number(x), bottomY + 19, label, 'text-anchor="middle"')}`;
  });
  const unit = text(20, bottomY + 19, `time, ${timeUnit(picture.endMs)}`, 'class="faint"');
  return [...marks, unit].join('\n');
}

function legendText({ picture, colourOf }: Layout, y: number): { text: string; height: number } {
  const heldMs = new Map<string, number>();
  for (const { slices } of picture.lanes) {
    for (const { fromMs, toMs, holds } of slices) {
      for (const { model, mib } of holds) heldMs.set(model, (heldMs.get(model) ?? 0) + mib * (toMs - fromMs));
    }
  }
  const shown = picture.models
    .toSorted((a, b) => (heldMs.get(b) ?? 0) - (heldMs.get(a) ?? 0))
    .slice(0, LEGEND_MODELS)
    .toSorted();
  const hidden = picture.models.length - shown.length;
  const sample = shown[0] === undefined ? modelColour(0) : colourOf(shown[0]);
  const marks = [
    swatch(LEFT, y, sample.plain, 'awake'),
    swatch(LEFT + 90, y, sample.dark, 'starts, wakes, falls asleep or stops'),
    swatch(LEFT + 340, y, sample.plain, 'asleep', true),
    `<path d="M${LEFT + 420} ${y + 6}h22" class="budget"/>${text(LEFT + 448, y + 10, 'budget of the device')}`,
    text(LEFT + 590, y + 10, 'short times: on average', 'class="faint"'),
  ];
  const width = PLOT / LEGEND_COLUMNS;
  const cells = shown.map((model, index) => ({
    index,
    draw: (x: number, cellY: number) =>
      swatch(x, cellY, colourOf(model).plain, shortened(model, LEGEND_NAME_CHARS)),
  }));
  const names = cells.map(({ index, draw }) =>
    draw(LEFT + (index % LEGEND_COLUMNS) * width, y + 26 + Math.floor(index / LEGEND_COLUMNS) * LEGEND_ROW),
  );
  const rows = Math.ceil(shown.length / LEGEND_COLUMNS);
  const rest =
    hidden > 0 ? [text(LEFT, y + 26 + rows * LEGEND_ROW + 10, `and ${hidden} more`, 'class="faint"')] : [];
  return { text: [...marks, ...names, ...rest].join('\n'), height: 26 + (rows + 1) * LEGEND_ROW + 8 };
}

function swatch(x: number, y: number, fill: string, label: string, isHatched = false): string {
  const rect = (paint: string) =>
    `<rect x="${short(x)}" y="${y}" width="12" height="12" rx="2" fill="${paint}"/>`;
  return rect(fill) + (isHatched ? rect('url(#hatch)') : '') + text(x + 18, y + 10, label);
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${short(x)}" y="${short(y)}"${attributes === '' ? '' : ` ${attributes}`}>${escaped(content)}</text>`;
}

function shortened(name: string, chars: number): string {
  return name.length <= chars ? name : `${name.slice(0, chars - 1)}…`;
}

function escaped(content: string): string {
  return content.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
