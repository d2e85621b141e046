/** Rewrites docs/metrics.md from what `/metrics` shows after one event of each kind. `--check` only compares (exit code 1). */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Effect } from '../src/scheduler/effects.ts';
import { GatewayMetrics } from '../src/telemetry/metrics.ts';

const INTRODUCTION = `# Metrics

What \`GET /metrics\` shows, in Prometheus' text format. Names are stable. Beside these stand the figures of the gateway's own
process (\`vllm_gateway_process_*\`, \`vllm_gateway_nodejs_*\`) as prom-client names them; they differ between Node versions.

\`model\` is the configured name, and empty for requests that name no model of the configuration. Histograms have the usual
\`_bucket\`, \`_sum\` and \`_count\`. Gauges are read at the scrape.

This file is generated from \`src/telemetry/metrics.ts\` by \`node tools/generate-metrics-docs.ts\`.
`;

/** Figures of the process, which this file does not list. */
const OF_PROCESS = /^vllm_gateway_(process|nodejs)_/;

/** Every series has at least one sample then, which shows its labels. */
function sampledMetrics(): GatewayMetrics {
  const gauges = { model: 'm', state: 'awake', waiting: 0, running: 0, reservedMib: 0 };
  const metrics = new GatewayMetrics(
    () => 0,
    () => [gauges],
  );
  const end = { model: 'm', outcome: 'answered', status: 200, code: null, load: 'hot', waitMs: 0, ttfbMs: 0 };
  metrics.countBackground(() => new Map([['m', 0]]));
  metrics.requestEnded({ ...end, label: 'other', durationMs: 0, streamErrors: 1 });
  metrics.poolOpened('m', { connectionsCreated: 0, requestsSent: 0, poolWaits: 0 });
  const start: Effect = {
    kind: 'start',
    model: 'm',
    launchId: 'l',
    deviceIds: [],
    memoryMibPerDevice: 0,
    reason: '',
  };
  metrics.observed({ kind: 'timer', key: 'm' }, [start]);
  metrics.observed({ kind: 'ready', model: 'm', launchId: 'l', contextLength: null }, []);
  const stage = { kind: 'awake' } as const;
  const launch = { model: 'm', launchId: 'l', deviceIds: [], memoryMibPerDevice: 0, signature: '', stage };
  metrics.observed({ kind: 'adopted', launch, contextLength: null }, []);
  return metrics;
}

/** The whole text of docs/metrics.md. */
export async function renderMetricsDocs(): Promise<string> {
  const lines = (await sampledMetrics().text()).split('\n');
  const rows = lines.flatMap((line) => {
    const [, name = '', help = ''] = /^# HELP (\S+) (.*)$/.exec(line) ?? [];
    if (name === '' || OF_PROCESS.test(name)) return [];
    const kind = lines.find((other) => other.startsWith(`# TYPE ${name} `))?.split(' ')[3] ?? '';
    return [`| \`${name}\` | ${kind} | ${labelsOf(name, lines)} | ${help} |`];
  });
  return `${INTRODUCTION}\n| name | kind | labels | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`;
}

function labelsOf(name: string, lines: readonly string[]): string {
  const sample =
    lines.find((line) => line.startsWith(`${name}{`) || line.startsWith(`${name}_bucket{`)) ?? '';
  const labels = [...sample.matchAll(/[{,](\w+)="/g)].map(([, label]) => label);
  return labels
    .filter((label) => label !== 'le')
    .map((label) => `\`${label}\``)
    .join(', ');
}

if (import.meta.main) {
  const file = new URL('../docs/metrics.md', import.meta.url);
  const text = await renderMetricsDocs();
  if (!process.argv.includes('--check')) {
    writeFileSync(file, text);
  } else if (readFileSync(file, 'utf8') !== text) {
    console.error('docs/metrics.md is stale: run node tools/generate-metrics-docs.ts');
    process.exitCode = 1;
  }
}
