/** What `check` says of engines in containers. Pure: the configuration knows it before anything runs. */
import type { Notice, ResolvedConfig } from '../config/resolved-config.ts';

/** One line of where engines run, for the summary; null where they are processes of this host. */
export function containerLine({ runtime, models }: ResolvedConfig): string | null {
  if (runtime.kind !== 'docker') return null;
  const { host, image } = runtime.docker;
  const images = [...models.values()].flatMap((model) => (model.url === null ? [model.image ?? image] : []));
  const named = [...new Set(images)];
  return `Engines run in containers of ${host}${named.length === 0 ? '' : `: ${named.join(', ')}`}.`;
}

/** False where others would reach the routes that put engines to sleep. */
export function maySleep({ runtime }: ResolvedConfig): boolean {
  return runtime.kind !== 'docker' || runtime.docker.reach !== 'port';
}

/** Models that may not sleep because others would reach the routes that put them to sleep, and what would let them. */
export function sleepNotices(config: ResolvedConfig): readonly Notice[] {
  if (maySleep(config)) return [];
  const sleepers = [...config.models.values()].filter(({ sleep }) => sleep !== 'off').map(({ name }) => name);
  if (sleepers.length === 0) return [];
  const text =
    `${sleepers.join(', ')}: stopped instead of put to sleep. With \`runtime.docker.reach: port\` every program of the host reaches the engine, ` +
    "and vLLM's sleep routes are open only together with others that run any code. Say `reach: auto`, `socket` or `network`, or `sleep: off`.";
  return [{ level: 'warn', text }];
}
