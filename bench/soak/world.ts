/** The gateway of the soak: eight simulated engines on two devices and a host that hold five or so of them. */
import { simulatedModel } from '../../test/fixtures/gateway.ts';

export const EMBEDDING_SIZE = 16;
export const CHAT_MODELS = ['writer', 'keeper', 'talker', 'narrow', 'rare'] as const;
export const EMBEDDING_MODELS = ['embed', 'embed-two'] as const;
/** Transcribes recordings. */
export const HEARING_MODEL = 'hearer';
/** Keeps responses and makes them in the background. */
export const KEEPING_MODEL = 'keeper';
/** Says all at once, faster than slow readers take it. */
export const FAST_MODEL = 'talker';

const DEVICE_MIB = 16_384;
const HOST_MIB = 24_576;

/** In the shape of models.yaml. `requestLog`: the engines' book. */
export function soakConfig(requestLog: string): Record<string, unknown> {
  const model = (
    memoryMib: number,
    loadSeconds: number,
    keys: Record<string, unknown> = {},
    args: readonly (string | number)[] = [],
  ) =>
    simulatedModel({
      memoryMib,
      loadSeconds,
      args: [
        ...['--sim-request-log', requestLog, '--sim-answer', 'echo', '--sim-embedding-size', EMBEDDING_SIZE],
        ...['--sim-tokens-per-second', 300, '--sim-prefill-tokens-per-second', 0],
        ...['--sim-sleep-seconds', 0.05, '--sim-wake-seconds', 0.1, '--sim-sleep-residual-mib', 300],
        ...args,
      ],
      keys,
    });
  return {
    server: { shutdown_delay: 0, shutdown_drain: 10, client_stall_timeout: 30 },
    devices: {
      source: 'simulated',
      simulated: ['gpu-0', 'gpu-1'].map((id) => ({ id, memory_mib: DEVICE_MIB })),
      simulated_host_memory_mib: HOST_MIB,
    },
    activity: { rows_max: 100_000_000 },
    defaults: {
      max_concurrent: 8,
      queue_size: 500,
      queue_timeout: 120,
      drain_timeout: 4,
      progress_after: 0.5,
      ws_idle_timeout: 2,
    },
    models: {
      writer: model(7_000, 3),
      keeper: model(7_000, 3, { responses_store: true }),
      talker: model(7_000, 0.5, {}, ['--sim-tokens-per-second', 0]),
      narrow: model(6_000, 3, { max_concurrent: 1, queue_size: 2 }),
      rare: model(9_000, 0.5),
      hearer: model(4_000, 1, {}, ['--sim-task', 'transcription']),
      embed: model(3_000, 0.5),
      'embed-two': model(4_000, 3),
    },
  };
}
