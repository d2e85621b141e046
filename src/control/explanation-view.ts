/** Explanations and decisions as /gateway/status shows them: times of day, seconds, snake_case. */
import type { Clock } from '../core/clock.ts';
import type { Explanation, Step } from '../scheduler/explanation.ts';
import { stepText, waitingSentence } from '../scheduler/waiting-sentence.ts';
import type { RememberedDecision } from './decision-history.ts';

/** Of those ahead so many are shown. */
const AHEAD_SHOWN = 10;
/** A time of day that is further away would be taken for another day's. */
const SAME_DAY_MS = 12 * 3_600_000;

/** The sentence, with times of day in this machine's time zone. */
export function whyText(explanation: Explanation, clock: Clock): string {
  return waitingSentence(explanation, dayTimes(clock));
}

export function explanationView(explanation: Explanation, clock: Clock): object {
  const { waitedMs, readyInMs, basis, steps, ahead, aheadCount, hindrance } = explanation;
  return {
    waiting_seconds: secondsOf(waitedMs),
    ready_in_seconds: secondsOf(readyInMs),
    ready_at: timeIn(clock, readyInMs),
    basis,
    hindrance,
    steps: steps.map((step) => stepView(explanation, step, clock)),
    ahead: ahead.slice(0, AHEAD_SHOWN).map((turn) => ({
      model: turn.model,
      why: turn.why,
      devices: turn.deviceIds,
      room_in_seconds: secondsOf(turn.roomInMs),
      bring_up_seconds: secondsOf(turn.bringUpMs),
      turn_seconds: secondsOf(turn.turnMs),
    })),
    ahead_count: aheadCount,
  };
}

function stepView(explanation: Explanation, step: Step, clock: Clock): object {
  return {
    kind: step.kind,
    text: stepText(explanation, step, dayTimes(clock)),
    models: step.models,
    devices: step.deviceIds,
    expected_seconds: secondsOf(step.expectedMs),
    at_latest: timeIn(clock, step.atLatestMs),
    basis: step.basis,
    detail: step.detail,
  };
}

export function decisionView({ kind, fromWallMs, untilWallMs, count, reason }: RememberedDecision): object {
  return {
    at: new Date(untilWallMs).toISOString(),
    kind,
    reason,
    ...(count === 1 ? {} : { count, since: new Date(fromWallMs).toISOString() }),
  };
}

function dayTimes(clock: Clock): (inMs: number) => string {
  return (inMs) => {
    const at = new Date(clock.wallMs() + inMs);
    const time = at.toTimeString().slice(0, 8);
    return inMs < SAME_DAY_MS ? time : `${at.toDateString()} ${time}`;
  };
}

function timeIn(clock: Clock, inMs: number | null): string | null {
  return inMs === null ? null : new Date(clock.wallMs() + inMs).toISOString();
}

function secondsOf(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms) / 1000;
}
