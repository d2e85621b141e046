/** The last things that happened in a run, told only when somebody asks. */
import type { Clock } from '../../core/clock.ts';
import type { Effect } from '../../scheduler/effects.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { MachineMove, SimulationObserver } from '../simulation-observer.ts';

const LENGTH = 30;

type Entry =
  | { readonly atMs: number; readonly event: SchedulerEvent; readonly effects: readonly Effect[] }
  | { readonly atMs: number; readonly move: MachineMove }
  | { readonly atMs: number; readonly text: string };

export class EventTail implements SimulationObserver {
  readonly #clock: Clock;
  readonly #entries: Entry[] = [];
  /** Of everything that happened: two runs of one seed have the same. */
  count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  decided(event: SchedulerEvent, effects: readonly Effect[], _state: unknown, nowMs: number): void {
    this.#add({ atMs: nowMs, event, effects });
  }

  moved(move: MachineMove): void {
    this.#add({ atMs: move.toMs, move });
  }

  note(text: string): void {
    this.#add({ atMs: this.#clock.nowMs(), text });
  }

  lines(): readonly string[] {
    return this.#entries.map((entry) => `${(entry.atMs / 1000).toFixed(3).padStart(9)} s  ${textOf(entry)}`);
  }

  #add(entry: Entry): void {
    this.count += 1;
    this.#entries.push(entry);
    if (this.#entries.length > LENGTH) this.#entries.shift();
  }
}

function textOf(entry: Entry): string {
  if ('text' in entry) return entry.text;
  if ('move' in entry) {
    const { kind, model, deviceIds, fromMs, toMs } = entry.move;
    return `the machine ended the ${kind} of ${model} on ${deviceIds.join(', ')} after ${Math.round(toMs - fromMs)} ms`;
  }
  const { kind, ...rest } = entry.event;
  const event = kind === 'devices_changed' || kind === 'configuration_changed' ? '' : JSON.stringify(rest);
  const effects = entry.effects.map((effect) => effectText(effect));
  return `${kind} ${event}${effects.length === 0 ? '' : ` -> ${effects.join('; ')}`}`;
}

function effectText(effect: Effect): string {
  switch (effect.kind) {
    case 'set_timer':
      return `timer ${effect.key} at ${Math.round(effect.atMs)}`;
    case 'dispatch':
    case 'cut':
      return `${effect.kind} ${effect.requestId}`;
    case 'refuse':
      return `refuse ${effect.requestId} (${effect.refusal.code})`;
    case 'start':
      return `start ${effect.model} as ${effect.launchId} on ${effect.deviceIds.join(', ')}: ${effect.reason}`;
    default:
      return `${effect.kind} ${effect.model}: ${effect.reason}`;
  }
}
