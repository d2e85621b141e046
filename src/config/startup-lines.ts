/** The lines that the original logs at its start (R3); people and scripts look for them. */
import type { ResolvedConfig } from './resolved-config.ts';

/** The pool is as large as all models together may use it (R1): 50 x 3 = 150. */
export function startupLines(config: ResolvedConfig): readonly string[] {
  const { maxQueueSize, maxConcurrent, maxModelsConcurrent } = config.legacy;
  const connections = maxConcurrent * maxModelsConcurrent;
  return [
    `Gateway Configuration: MAX_QUEUE_SIZE=${maxQueueSize}, MAX_CONCURRENT=${maxConcurrent}, MAX_MODELS_CONCURRENT=${maxModelsConcurrent}`,
    `HTTP Client Pool: max_connections=${connections}, max_keepalive_connections=${connections}`,
  ];
}
