/**
 * An explanation in one sentence, such as "waiting 12 s: gpu-0 is in qwen's turn until 14:02:11 at the latest, then 3.1 s
 * to wake".
 */
import type { Explanation, Step } from './explanation.ts';

/** At most so many names one by one. */
const NAMES_MAX = 3;
/** Shorter than this needs no word. */
const NOTHING_MS = 1;

/** `timeText`: how a moment in so many milliseconds is called, such as `14:02:11` or `in 3.1 s`. */
export function waitingSentence(explanation: Explanation, timeText: (inMs: number) => string): string {
  const { waitedMs, steps, hindrance } = explanation;
  const begin = waitedMs === null ? '' : `waiting ${duration(waitedMs)}: `;
  if (steps.length === 0) return explanation.state === 'external' ? 'it is served elsewhere' : 'it is awake';
  const unknown = steps.some(({ expectedMs }) => expectedMs === null) && hindrance !== null;
  const parts = steps.filter(isToldFirst).map((step) => stepText(explanation, step, timeText));
  return `${begin}${unknown ? 'nobody can tell: ' : ''}${parts.filter((text) => text !== '').join(', then ')}`;
}

/** How the same engine goes on leaving needs no word of its own. */
function isToldFirst({ models }: Step, index: number, steps: readonly Step[]): boolean {
  const before = steps[index - 1]?.models;
  return before?.length !== 1 || models.length !== 1 || before[0] !== models[0] || isOwn(steps[index]);
}

const OWN_KINDS: ReadonlySet<string> = new Set(['start', 'wake', 'hindrance']);

function isOwn(step: Step | undefined): boolean {
  return step !== undefined && OWN_KINDS.has(step.kind);
}

/** As `waitingSentence`, of one step; empty: it takes no time worth a word. */
export function stepText({ percent }: Explanation, step: Step, timeText: (inMs: number) => string): string {
  const { kind, models, deviceIds, expectedMs, atLatestMs, detail } = step;
  const devices = deviceIds.join(', ');
  const are = deviceIds.length === 1 ? 'is' : 'are';
  const who = nameList(models);
  const isSmall = expectedMs !== null && expectedMs < NOTHING_MS;
  const takes = expectedMs === null ? '' : duration(expectedMs);
  const limit = atLatestMs === null ? '' : ` until ${timeText(atLatestMs)} at the latest`;
  switch (kind) {
    case 'pause':
      return `a pause of ${takes} (${detail})`;
    case 'fetch':
      return `its files are being fetched${percent === null ? '' : ` (${percent} %)`}${takes === '' ? '' : `, ${takes} to go`}`;
    case 'own_drain':
      return expectedMs === null ? detail : `it finishes what runs${limit} and gives way: ${detail}`;
    case 'own_leaving':
      return `it is on its way out for ${takes}: ${detail}`;
    case 'ahead':
      return `${who} ${models.length === 1 ? 'goes' : 'go'} first on ${devices} (${takes})`;
    case 'idle':
      return isSmall ? '' : `${who} ${detail} on ${devices} (${takes})`;
    case 'turn':
      return `${devices} ${are} in ${who}'s turn${limit}${detail === '' ? '' : ` (${detail})`}`;
    case 'drain':
      return isSmall ? '' : `${who} finishes what runs on ${devices}${limit}`;
    case 'leaving':
      return isSmall ? '' : `${takes} until ${who} ${leaves(detail)}`;
    case 'sleeper':
      return isSmall ? '' : `what ${who} holds asleep on ${devices} is given back (${takes})`;
    case 'move':
      return `${devices} ${are} busy with a move of ${who} (${takes})`;
    case 'start':
      return detail === ''
        ? `${takes} to start`
        : `it is starting (${detail}${percent === null ? '' : `, ${percent} %`}), ${takes} to go`;
    case 'wake':
      return `${takes} to wake`;
    case 'slots':
      return takes === '' ? detail : `${detail}, one is free in ${takes}`;
    case 'probe':
      return 'its engine lost a connection or gives no answers, and is being probed';
    case 'hindrance':
      return devices === '' ? detail : `${detail} (${devices})`;
  }
}

function leaves(detail: string): string {
  if (detail === 'falls asleep') return 'sleeps';
  return detail;
}

function nameList(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_MAX);
  const more = names.length - shown.length;
  if (more > 0) return `${shown.join(', ')} and ${more} more`;
  const last = shown.at(-1) ?? '';
  return shown.length < 2 ? last : `${shown.slice(0, -1).join(', ')} and ${last}`;
}

/** `3.1 s`, `12 s`, `4 min 10 s`. */
export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 120) return `${whole} s`;
  const min = Math.floor(whole / 60);
  if (min < 120) return whole % 60 === 0 ? `${min} min` : `${min} min ${whole % 60} s`;
  return `${Math.floor(min / 60)} h ${min % 60} min`;
}
