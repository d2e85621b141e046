/** What stands between a model and its devices, as steps of an explanation (explanation.ts). */
import type { ContestForecast, InTheWay } from './contest-forecast.ts';
import type { Step, StepKind } from './explanation.ts';
import type { ModelState, SchedulerState } from './state.ts';

/** Less than this is nothing. */
const NOTHING_MS = 1;

/** `afterMs`: its own way out, that goes on at the same time. */
export function contestSteps(
  state: SchedulerState,
  model: ModelState,
  contest: ContestForecast,
  afterMs: number,
): readonly Step[] {
  const steps: Step[] = [];
  let doneMs = afterMs;
  /** Adds what lasts until `untilMs`, as far as nothing before has lasted as long. */
  const add = (step: Omit<Step, 'expectedMs' | 'basis'>, untilMs: number): void => {
    const endMs = Math.min(untilMs, contest.roomInMs);
    steps.push({ ...step, expectedMs: Math.max(0, endMs - doneMs), basis: 'assumed' });
    doneMs = Math.max(doneMs, endMs);
  };
  const inTheWay = contest.inTheWay.filter((other) => other.model !== model.policy.name);
  const ahead = inTheWay.filter(({ kind }) => kind === 'ahead');
  for (const other of inTheWay) {
    if (other.kind === 'ahead') continue;
    addOther(state, other, add);
  }
  const neighbour = contest.busyWith;
  if (neighbour !== null && ahead.length === 0 && contest.busyMs > doneMs + NOTHING_MS) {
    const move = { kind: 'move', models: [neighbour], deviceIds: contest.deviceIds } as const;
    add({ ...move, atLatestMs: null, detail: '' }, contest.busyMs);
  }
  const first = contest.ahead.filter((turn) => turn.deviceIds.some((id) => contest.deviceIds.includes(id)));
  if (contest.roomInMs > doneMs + NOTHING_MS || ahead.length > 0) {
    const names = first.map((turn) => turn.model);
    if (names.length > 0)
      add(
        { kind: 'ahead', models: names, deviceIds: contest.deviceIds, atLatestMs: null, detail: '' },
        contest.roomInMs,
      );
    else {
      const last = steps.pop();
      if (last !== undefined)
        steps.push({ ...last, expectedMs: (last.expectedMs ?? 0) + contest.roomInMs - doneMs });
    }
  }
  return steps;
}

const KINDS: Readonly<Record<Exclude<InTheWay['kind'], 'ahead'>, StepKind>> = {
  idle: 'idle',
  turn: 'turn',
  drain: 'drain',
  leaving: 'leaving',
  asleep: 'sleeper',
};

function addOther(
  state: SchedulerState,
  other: InTheWay,
  add: (step: Omit<Step, 'expectedMs' | 'basis'>, untilMs: number) => void,
): void {
  const { kind, model, deviceIds, yieldsInMs, drainMs, leaveMs, atLatestMs } = other;
  if (kind === 'ahead') return;
  const about = { models: [model], deviceIds };
  const goneMs = yieldsInMs + drainMs + leaveMs;
  const limit = Number.isFinite(atLatestMs) ? atLatestMs : null;
  if (kind === 'turn') {
    const detail = other.isUnpaid
      ? 'moves between busy models have used up their share of these devices'
      : '';
    add({ ...about, kind: 'turn', atLatestMs: limit, detail }, yieldsInMs);
    if (drainMs > 0)
      add(
        {
          ...about,
          kind: 'drain',
          atLatestMs: limit === null ? null : limit + other.drainLimitMs,
          detail: '',
        },
        yieldsInMs + drainMs,
      );
    add({ ...about, kind: 'leaving', atLatestMs: null, detail: howItLeaves(state, other) }, goneMs);
    return;
  }
  if (kind === 'drain') {
    add({ ...about, kind: 'drain', atLatestMs: other.drainLimitMs, detail: '' }, yieldsInMs + drainMs);
    add({ ...about, kind: 'leaving', atLatestMs: null, detail: howItLeaves(state, other) }, goneMs);
    return;
  }
  const detail = kind === 'asleep' ? '' : howItLeaves(state, other);
  add({ ...about, kind: KINDS[kind], atLatestMs: kind === 'idle' ? limit : null, detail }, goneMs);
}

/** Also why one is stopped that could sleep. */
function howItLeaves({ models, hostBudgetMib }: SchedulerState, { model, how }: InTheWay): string {
  if (how === 'sleep') return 'falls asleep';
  const level = models.get(model)?.need?.sleepLevel ?? 0;
  return level > 0 && hostBudgetMib === null
    ? 'is stopped; host memory to sleep in is not known'
    : 'is stopped';
}
