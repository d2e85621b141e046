/** What `plan` prints for people. */
import type { ModelName } from '../core/ids.ts';
import type { MakingRoom } from '../planning/evictions.ts';
import { EXACT_MODELS_MAX, type ResidentSet } from '../planning/together.ts';
import type { WorstWait } from '../planning/worst-wait.ts';
import { blockedModels, type PlannedModel, type PlanReport } from './plan-report.ts';
import { deviceLines } from './plan-text-devices.ts';
import { columns, duration, memory, wrapped } from './text-layout.ts';

/** Of sets that can be awake together, so many are printed; JSON has all. */
const SETS_SHOWN_MAX = 12;

export function planText(report: PlanReport): string {
  const sections = [
    deviceLines(report),
    sizeLines(report),
    unfitLines(report),
    togetherLines(report),
    roomLines(report),
    waitLines(report),
    detailLines(report),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

function ours({ models }: PlanReport): readonly PlannedModel[] {
  return models.filter(({ size }) => size !== null);
}

function sizeLines(report: PlanReport): readonly string[] {
  const rows = ours(report).map(({ model, size, need }) => {
    const parts = size?.parts ?? null;
    const sleeps = need !== null && need.sleepLevel > 0;
    return [
      model.name,
      countText(size?.deviceCount ?? 0, model.need.deviceCount),
      parts === null ? '' : memory(parts.weightsMib),
      parts === null ? '' : memory(parts.kvMib),
      parts === null ? '' : memory(parts.overheadMib),
      need === null || need.memoryMibPerDevice === null ? 'whole' : memory(need.memoryMibPerDevice),
      sleeps ? memory(need.residueMib) : '',
      need === null ? '' : sleeps ? memory(need.hostAsleepMib) : 'no sleep',
      sourceText(size?.source ?? 'unknown'),
    ];
  });
  if (rows.length === 0) return [];
  const head = ['model', 'devices', 'weights', 'KV cache', 'overhead', 'total', 'asleep', 'in host', 'from'];
  const isStarred = rows.some((row) => row.at(-1)?.endsWith('*'));
  return [
    'What each model takes on each of its devices, and asleep, there and in the memory of the host:',
    ...columns([head, ...rows]),
    ...(isStarred ? ['  * has whole devices for itself at its first start, and is measured then'] : []),
  ];
}

function countText(count: number, configured: number): string {
  return count === configured ? String(count) : `${count}, not ${configured}`;
}

const SOURCES: Readonly<Record<string, string>> = {
  whole_device: 'whole device',
  unknown: 'unknown *',
  waiting: 'unknown *',
};

function sourceText(source: string): string {
  return SOURCES[source] ?? source;
}

function unfitLines({ plan, planned }: PlanReport): readonly string[] {
  // Without devices nothing fits, which the head says.
  if (planned.devices.length === 0) return [];
  const crowded = plan.together.crowdedOut;
  const blocked = blockedModels(plan);
  return [
    ...(plan.neverFits.size === 0 ? [] : ['Never fits:']),
    ...[...plan.neverFits].flatMap(([name, why]) => wrapped('  ', `${name}: ${why}.`)),
    ...(crowded.length === 0
      ? []
      : wrapped('', `Not all always-on models fit at once: no room is left for ${crowded.join(', ')}.`)),
    ...(blocked.length === 0
      ? []
      : wrapped('', `Can never run beside the always-on models: ${blocked.join(', ')}.`)),
  ];
}

function togetherLines({ plan, planned }: PlanReport): readonly string[] {
  const { exact, sets } = plan.together;
  if (sets.length === 0) return [];
  const awake = sets.flatMap((set) => set.awake);
  const able = new Set(awake).size;
  const [only] = sets;
  const lines =
    sets.length === 1 && only?.awake.length === able
      ? wrapped('', `All ${able === 1 ? 'that fit' : able} can be awake together: ${only.awake.join(', ')}.`)
      : [
          ...wrapped(
            '',
            exact
              ? `Awake together (every set to which nothing can be added: ${sets.length}):`
              : `Awake together (of more than ${EXACT_MODELS_MAX} models not all sets are looked for: these were packed greedily, and each model that can run is in one):`,
          ),
          ...sets.slice(0, SETS_SHOWN_MAX).flatMap((set, index) => setLines(set, index)),
          ...(sets.length > SETS_SHOWN_MAX ? [`  and ${sets.length - SETS_SHOWN_MAX} more (--json)`] : []),
        ];
  return [...lines, ...sleeperLines(plan.sleepers, planned.host === null)];
}

function setLines({ awake, asleep }: ResidentSet, index: number): readonly string[] {
  const first = `  ${String(index + 1).padStart(2)}. `;
  const beside =
    asleep.length === 0 ? [] : wrapped(`${' '.repeat(first.length)}asleep beside: `, asleep.join(', '));
  return [...wrapped(first, awake.join(', ')), ...beside];
}

function sleeperLines(
  { able, mostAtOnce, hostBudgetMib }: PlanReport['plan']['sleepers'],
  isUnknown: boolean,
) {
  if (able.length === 0) return [];
  if (isUnknown || mostAtOnce === null || hostBudgetMib === null)
    return wrapped(
      '',
      `The memory of the host is not known, so nobody is thought asleep: add host=SIZE to --devices.`,
    );
  const all =
    mostAtOnce === able.length ? `all ${able.length}` : `at most ${mostAtOnce} of the ${able.length}`;
  return wrapped('', `The host holds ${all} that can sleep at once (${memory(hostBudgetMib)} for engines).`);
}

function roomLines({ plan }: PlanReport): readonly string[] {
  const rooms = [...plan.makingRoom];
  if (rooms.length === 0) return [];
  const free = rooms.filter(([, room]) => room.kind === 'free').map(([name]) => name);
  const others = rooms.filter(([, room]) => room.kind === 'evict');
  if (others.length === 0) return [];
  return [
    'What gives way for what, when as many others as fit are awake and idle:',
    ...others.flatMap(([name, room]) => wrapped('  ', `${name}: ${roomText(room)}`)),
    ...(free.length === 0 ? [] : wrapped('  ', `Nothing has to give way for ${free.join(', ')}.`)),
  ];
}

function roomText(room: MakingRoom): string {
  if (room.kind !== 'evict') return room.kind;
  const victims = room.victims.map(({ model, how }) => `${model} ${how === 'sleep' ? 'sleeps' : 'stops'}`);
  const from = `room in ${duration(room.roomInMs)}, serves in ${duration(room.servesInMs)} from cold`;
  return `${victims.join(', ')}; ${from}`;
}

function waitLines(report: PlanReport): readonly string[] {
  const { plan, planned } = report;
  if (planned.devices.length === 0) return [];
  const rows = ours(report).map(({ model: { name } }) => {
    const costs = plan.costs.get(name);
    const wait = plan.worstWaits.get(name);
    return [
      name,
      costs === undefined ? '' : duration(costs.startMs),
      costs === undefined || costs.wakeMs === null ? '' : duration(costs.wakeMs),
      costs === undefined ? '' : duration(costs.quantumMs),
      wait?.kind === 'bound' ? duration(wait.coldMs) : 'no bound',
      wait?.kind === 'bound' && wait.asleepMs !== null ? duration(wait.asleepMs) : '',
      `${costs?.basis ?? ''}${wait?.kind === 'bound' ? `, ${ruleText(wait)}` : ''}`,
    ];
  });
  if (rows.length === 0) return [];
  const head = ['model', 'start', 'wake', 'turn', 'worst wait', 'if asleep', 'costs, rule'];
  return [
    'What moves cost, and how long a request may have to wait at the worst:',
    ...columns([head, ...rows]),
    ...unboundLines(plan.worstWaits),
  ];
}

function ruleText({ rule, others }: Extract<WorstWait, { kind: 'bound' }>): string {
  switch (rule) {
    case 'start':
      return 'own start';
    case 'room':
      return 'always has room';
    case 'shared_device':
    case 'order':
      return `turns of ${others.length}`;
  }
}

/** Those with the same reason together. */
function unboundLines(waits: ReadonlyMap<ModelName, WorstWait>): readonly string[] {
  const reasons = new Map<string, ModelName[]>();
  for (const [name, wait] of waits)
    if (wait.kind === 'none') reasons.set(wait.why, [...(reasons.get(wait.why) ?? []), name]);
  return [...reasons].flatMap(([why, names]) => wrapped('  ', `No bound (${why}): ${names.join(', ')}.`));
}

function detailLines({ models }: PlanReport): readonly string[] {
  return ['Where the figures come from:', ...models.flatMap(oneDetail)];
}

function oneDetail({ model, size, parsers }: PlannedModel): readonly string[] {
  if (size === null) return wrapped('  ', `${model.name}: ${model.url?.baseUrl ?? ''}, no device`);
  const isUnknown = size.source === 'unknown' || size.source === 'waiting';
  const star = isUnknown ? '* ' : '';
  const facts = size.factsOrigin === null ? '' : `; facts: ${size.factsOrigin}`;
  const pool = model.need.pool === null ? '' : ` (pool ${model.need.pool})`;
  return [
    ...wrapped('  ', `${star}${model.name}${pool}: ${size.why}${facts}`),
    ...size.assumptions.flatMap((text) => wrapped('      ', `assumed: ${text}`)),
    ...(parsers === null ? [] : wrapped('      ', `parsers: ${parsersText(parsers)}`)),
  ];
}

function parsersText({ tool, reasoning }: NonNullable<PlannedModel['parsers']>): string {
  if (tool.parser === null && reasoning.parser === null && tool.why === reasoning.why)
    return `none (${tool.why})`;
  return `tool ${parserText(tool)}, reasoning ${parserText(reasoning)}`;
}

function parserText({ parser, why }: { readonly parser: string | null; readonly why: string }): string {
  return parser === null ? `none (${why})` : `${parser} (${why})`;
}
