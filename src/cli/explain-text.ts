/** The report of `explain`: the sentence, the steps, who goes first, the last decisions. */
import { columns, duration, wrapped } from './text-layout.ts';

/** The part of a model in /gateway/status that is shown (docs/routes.md). */
export interface ExplainedModel {
  readonly state: string;
  readonly phase: string;
  readonly why: string;
  readonly waiting: number;
  readonly running: number;
  readonly ready_in_seconds: number | null;
  readonly estimate_basis: string;
  readonly explanation?: ExplanationView;
  readonly last_decisions?: readonly DecisionView[];
}

interface ExplanationView {
  readonly hindrance: string | null;
  readonly steps: readonly StepView[];
  readonly ahead: readonly {
    readonly model: string;
    readonly why: string;
    readonly devices: readonly string[];
    readonly room_in_seconds: number | null;
  }[];
  readonly ahead_count: number;
}

interface StepView {
  readonly kind: string;
  readonly text: string;
  readonly expected_seconds: number | null;
  readonly at_latest: string | null;
  readonly basis: string;
}

interface DecisionView {
  readonly at: string;
  readonly kind: string;
  readonly reason: string;
  readonly count?: number;
}

/** What an assumption of the waiting bound is called where it does not hold. */
const HINDRANCES: Readonly<Record<string, string>> = {
  nothing_fits: 'no device can hold it',
  devices_unknown: 'the devices are not known yet',
  size_unknown: 'its size is not known yet',
  drain_without_limit: 'a drain has no limit (on_drain_timeout: wait)',
  always_on: 'always-on models take the room',
  stop_unverified: 'a stop could not be verified',
  foreign_memory: 'programs that are not ours take the room',
  start_failed: 'its own starts fail',
  lost_connection: 'its engine may be dead',
};

export function explainText(model: string, found: ExplainedModel): string {
  const { state, phase, why, waiting, running, explanation, last_decisions: decisions = [] } = found;
  const at = phase === state ? state : `${state} (${phase})`;
  return [
    ...wrapped(`${model}: `, why),
    `  ${at}, ${waiting} waiting, ${running} running${readyText(found)}`,
    ...(explanation === undefined ? [] : explanationLines(explanation)),
    ...(decisions.length === 0 ? [] : ['', 'Last decisions:', ...columns(decisions.map(decisionRow))]),
  ].join('\n');
}

function readyText({ ready_in_seconds: seconds, estimate_basis: basis }: ExplainedModel): string {
  if (seconds === null) return ', nobody can tell for how long';
  return seconds === 0 ? '' : `, expected in ${duration(seconds * 1000)} (${basis})`;
}

function explanationLines({
  hindrance,
  steps,
  ahead,
  ahead_count: count,
}: ExplanationView): readonly string[] {
  const lines: string[] = [];
  if (steps.length > 0) lines.push('', 'Steps:', ...columns(steps.map(stepRow)));
  if (ahead.length > 0) {
    lines.push('', count > ahead.length ? `Ahead of it (${ahead.length} of ${count}):` : 'Ahead of it:');
    lines.push(
      ...columns(
        ahead.map((turn) => [
          turn.model,
          secondsText(turn.room_in_seconds),
          `${turn.devices.join(', ')}: ${turn.why.replaceAll('_', ' ')}`,
        ]),
      ),
    );
  }
  if (hindrance !== null)
    lines.push('', `No bound on its wait holds: ${HINDRANCES[hindrance] ?? hindrance.replaceAll('_', ' ')}.`);
  return lines;
}

function stepRow({ kind, text, expected_seconds: seconds, at_latest: latest, basis }: StepView): string[] {
  const limit = latest === null ? '' : `by ${timeOf(latest)} at the latest`;
  const words = text === '' ? kind.replaceAll('_', ' ') : text;
  return [
    kind.replaceAll('_', ' '),
    secondsText(seconds),
    [words, basis, limit].filter((part) => part !== '').join('; '),
  ];
}

function decisionRow({ at, kind, reason, count = 1 }: DecisionView): string[] {
  return [timeOf(at), kind.replaceAll('_', ' '), count === 1 ? reason : `${reason} (${count} times)`];
}

/** In this machine's time zone, as in the sentence. */
function timeOf(iso: string): string {
  return new Date(iso).toTimeString().slice(0, 8);
}

function secondsText(seconds: number | null): string {
  return seconds === null ? '?' : duration(seconds * 1000);
}
