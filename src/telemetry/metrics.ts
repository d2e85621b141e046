/**
 * All metric names of the gateway in one place. Per request: a few array writes. Gauges are read from the scheduler's
 * state at a scrape. M of original.md: pool exhaustion, connection reuse, queue depth, 429 rate, configuration errors.
 */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { ModelName } from '../core/ids.ts';
import type { EndpointCounters } from '../proxy/endpoint-types.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';
import { CounterSeries, type HistogramCell, HistogramSeries } from './series.ts';

/** Seconds; fine at a hot request's end, coarse where models load. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];
/** Counters of this many earlier engines of a model are read anew at each scrape; older ones are added up. */
const LIVE_POOLS_MAX = 4;

/** What a request's end tells; the front's `RequestEnd` has these and more. */
export interface ObservedRequest {
  readonly model: ModelName | null;
  /** The route table's name of the path. */
  readonly label: string;
  readonly outcome: string;
  readonly status: number;
  readonly code: string | null;
  readonly load: string | null;
  readonly waitMs: number;
  readonly ttfbMs: number | null;
  readonly durationMs: number;
  readonly streamErrors: number;
}

/** One model as the gauges show it. */
export interface ModelGauges {
  readonly model: ModelName;
  readonly state: string;
  readonly waiting: number;
  readonly running: number;
  readonly reservedMib: number;
}

interface ModelCells {
  readonly outcomes: Map<string, { value: number }>;
  readonly routes: Map<string, { value: number }>;
  /** The cell of the last request: the next one mostly ends alike. */
  last: {
    readonly outcome: string;
    readonly status: number;
    readonly code: string | null;
    readonly cell: { value: number };
  } | null;
  readonly wait: HistogramCell;
  readonly ttfb: HistogramCell;
  readonly duration: HistogramCell;
}

interface PoolTotals {
  readonly live: EndpointCounters[];
  created: number;
  sent: number;
  waits: number;
}

/** Effects on launches that move nothing. */
const NO_MOVES: ReadonlySet<string> = new Set(['dispatch', 'release', 'drain']);

/** States of an engine, each shown as 0 or 1 so that a dashboard can tell time spent in it. */
const STATES = [
  'cold',
  'fetching',
  'starting',
  'awake',
  'draining',
  'falling_asleep',
  'asleep',
  'waking',
  'stopping',
  'failed',
  'external',
];

export class GatewayMetrics {
  readonly #registry = new Registry();
  readonly #models = new Map<ModelName, ModelCells>();
  readonly #pools = new Map<ModelName, PoolTotals>();
  readonly #startedMs = new Map<string, number>();
  readonly #nowMs: () => number;

  readonly #requests = new CounterSeries(
    'vllm_gateway_requests_total',
    'Requests that ended, by outcome, HTTP status and error code of ours.',
  );
  readonly #routes = new CounterSeries(
    'vllm_gateway_route_requests_total',
    'Requests that ended, by route (docs/routes.md): a path of the table, `/engines`, `other`, or `none` for what was refused before.',
  );
  readonly #wait = new HistogramSeries(
    'vllm_gateway_request_wait_seconds',
    'From admission to an engine.',
    SECONDS,
  );
  readonly #ttfb = new HistogramSeries(
    'vllm_gateway_request_first_byte_seconds',
    'From arrival to the first byte of the answer.',
    SECONDS,
  );
  readonly #duration = new HistogramSeries(
    'vllm_gateway_request_duration_seconds',
    'From arrival to the end of the answer.',
    SECONDS,
  );
  readonly #streamErrors = new CounterSeries(
    'vllm_gateway_stream_errors_total',
    "Events of engines' streams that told of an error after a status of success.",
  );
  readonly #moves = new CounterSeries(
    'vllm_gateway_engine_moves_total',
    'Engines started, stopped and probed.',
  );
  readonly #starts = new CounterSeries(
    'vllm_gateway_engine_starts_ended_total',
    'Ends of starts: ready, or the cause of the failure.',
  );
  readonly #load = new HistogramSeries(
    'vllm_gateway_engine_load_seconds',
    'From the start of an engine until it was ready.',
    SECONDS,
  );
  readonly #configErrors = new CounterSeries(
    'vllm_gateway_configuration_errors_total',
    'Settings in error that did not stop the start: a default holds instead, or a model can never fit.',
  );

  readonly #adoptions = new CounterSeries(
    'vllm_gateway_engines_found_total',
    'Engines of an earlier gateway that were found, by how far they were; `unusable` ones are ended.',
  );

  /** `droppedRows`: of the activity log. */
  constructor(
    nowMs: () => number,
    gauges: () => readonly ModelGauges[],
    droppedRows: () => number = () => 0,
  ) {
    this.#nowMs = nowMs;
    const series = [
      this.#requests,
      this.#routes,
      this.#wait,
      this.#ttfb,
      this.#duration,
      this.#streamErrors,
      this.#moves,
      this.#starts,
      this.#load,
      this.#configErrors,
      this.#adoptions,
    ];
    for (const one of series) this.#registry.registerMetric(one as never);
    this.#configErrors.cell({});
    this.#registerModelGauges(gauges);
    this.#registerPoolGauges();
    this.#registerDrops(droppedRows);
    collectDefaultMetrics({ register: this.#registry, prefix: 'vllm_gateway_' });
  }

  requestEnded(end: ObservedRequest): void {
    const model = end.model ?? '';
    let cells = this.#models.get(model);
    if (cells === undefined) {
      cells = this.#createCells(model);
      this.#models.set(model, cells);
    }
    this.#outcomeCell(model, cells, end).value += 1;
    this.#routeCell(model, cells, end.label).value += 1;
    if (end.streamErrors > 0) this.#streamErrors.cell({ model }).value += end.streamErrors;
    cells.duration.observe(end.durationMs / 1000);
    if (end.load !== null) cells.wait.observe(end.waitMs / 1000);
    if (end.ttfbMs !== null) cells.ttfb.observe(end.ttfbMs / 1000);
  }

  /** Counts moves and the outcomes of starts from what the scheduler saw and decided. */
  observed(event: SchedulerEvent, effects: readonly Effect[]): void {
    if (event.kind === 'ready' || event.kind === 'exited') this.#startEnded(event);
    if (event.kind === 'adopted') this.#adoptions.cell({ stage: event.launch.stage.kind }).value += 1;
    for (const effect of effects) {
      if (!('launchId' in effect) || NO_MOVES.has(effect.kind)) continue;
      this.#moves.cell({ model: effect.model, move: effect.kind }).value += 1;
      if (effect.kind === 'start') this.#startedMs.set(effect.launchId, this.#nowMs());
    }
  }

  configurationError(): void {
    this.#configErrors.cell({}).value += 1;
  }

  poolOpened(model: ModelName, counters: EndpointCounters): void {
    let totals = this.#pools.get(model);
    if (totals === undefined) {
      totals = { live: [], created: 0, sent: 0, waits: 0 };
      this.#pools.set(model, totals);
    }
    totals.live.push(counters);
    const oldest = totals.live.length > LIVE_POOLS_MAX ? totals.live.shift() : undefined;
    if (oldest === undefined) return;
    totals.created += oldest.connectionsCreated;
    totals.sent += oldest.requestsSent;
    totals.waits += oldest.poolWaits;
  }

  /** Over all engines that a model has had. */
  pool(model: ModelName): { readonly created: number; readonly sent: number; readonly waits: number } {
    const totals = this.#pools.get(model);
    let { created, sent, waits } = totals ?? { created: 0, sent: 0, waits: 0 };
    for (const counters of totals?.live ?? []) {
      created += counters.connectionsCreated;
      sent += counters.requestsSent;
      waits += counters.poolWaits;
    }
    return { created, sent, waits };
  }

  /** Registers the gauge of background responses; `counts` has those models that have some now. */
  countBackground(counts: () => ReadonlyMap<ModelName, number>): void {
    new Gauge({
      name: 'vllm_gateway_background_responses',
      help: 'Background responses that hold their engine.',
      labelNames: ['model'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [model, count] of counts()) this.set({ model }, count);
      },
    });
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #startEnded(event: Extract<SchedulerEvent, { kind: 'ready' | 'exited' }>): void {
    const startedMs = this.#startedMs.get(event.launchId);
    if (startedMs === undefined) return;
    this.#startedMs.delete(event.launchId);
    const result = event.kind === 'ready' ? 'ready' : event.failure.cause;
    this.#starts.cell({ model: event.model, result }).value += 1;
    if (event.kind === 'ready')
      this.#load.cell({ model: event.model }).observe((this.#nowMs() - startedMs) / 1000);
  }

  #routeCell(model: string, cells: ModelCells, route: string): { value: number } {
    let cell = cells.routes.get(route);
    if (cell === undefined) {
      cell = this.#routes.cell({ model, route });
      cells.routes.set(route, cell);
    }
    return cell;
  }

  #createCells(model: string): ModelCells {
    return {
      outcomes: new Map(),
      routes: new Map(),
      last: null,
      wait: this.#wait.cell({ model }),
      ttfb: this.#ttfb.cell({ model }),
      duration: this.#duration.cell({ model }),
    };
  }

  #outcomeCell(model: string, cells: ModelCells, end: ObservedRequest): { value: number } {
    const { outcome, status, code } = end;
    const { last } = cells;
    if (last !== null && last.outcome === outcome && last.status === status && last.code === code)
      return last.cell;
    const key = `${outcome} ${status} ${code ?? ''}`;
    let cell = cells.outcomes.get(key);
    if (cell === undefined) {
      cell = this.#requests.cell({ model, outcome, status: String(status), code: code ?? '' });
      cells.outcomes.set(key, cell);
    }
    cells.last = { outcome, status, code, cell };
    return cell;
  }

  #registerModelGauges(gauges: () => readonly ModelGauges[]): void {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, value: (model: ModelGauges) => number): void => {
      new Gauge({
        name,
        help,
        labelNames: ['model'],
        registers,
        collect() {
          this.reset();
          for (const model of gauges()) this.set({ model: model.model }, value(model));
        },
      });
    };
    gauge('vllm_gateway_queue_depth', 'Requests that wait for the model.', (model) => model.waiting);
    gauge('vllm_gateway_requests_running', "Requests at the model's engine.", (model) => model.running);
    gauge(
      'vllm_gateway_reserved_mib',
      'Memory reserved on devices, over all of them.',
      (model) => model.reservedMib,
    );
    new Gauge({
      name: 'vllm_gateway_model_state',
      help: "1 for the state that the model's engine is in.",
      labelNames: ['model', 'state'],
      registers,
      collect() {
        for (const model of gauges()) {
          for (const state of STATES) this.set({ model: model.model, state }, model.state === state ? 1 : 0);
        }
      },
    });
  }

  #registerDrops(droppedRows: () => number): void {
    const name = 'vllm_gateway_activity_dropped_total';
    const help =
      'Ended requests that the activity log could not keep: its queue was full, or the disk failed.';
    const series = {
      name,
      get: async () => ({
        ...{ name, help, type: 'counter', aggregator: 'sum' },
        values: [{ labels: {}, value: droppedRows() }],
      }),
    };
    this.#registry.registerMetric(series as never);
  }

  #registerPoolGauges(): void {
    const pool = (name: string, help: string, key: 'created' | 'sent' | 'waits' | 'reused'): void => {
      const metrics = this;
      const series = {
        name,
        async get() {
          const values = [...metrics.#pools.keys()].map((model) => {
            const { created, sent, waits } = metrics.pool(model);
            const value = { created, sent, waits, reused: Math.max(0, sent - created) }[key];
            return { labels: { model }, value };
          });
          return { name, help, type: 'counter', aggregator: 'sum', values };
        },
      };
      this.#registry.registerMetric(series as never);
    };
    pool('vllm_gateway_pool_connections_created_total', 'Connections opened to engines.', 'created');
    pool('vllm_gateway_pool_requests_total', 'Requests sent to engines.', 'sent');
    pool('vllm_gateway_pool_connections_reused_total', 'Requests that used a connection again.', 'reused');
    pool('vllm_gateway_pool_waits_total', 'Requests that found the pool exhausted.', 'waits');
  }
}
