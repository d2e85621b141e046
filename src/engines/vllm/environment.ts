/** What vLLM is told through its environment; the model's own `environment` has the last word. */
import type { ResolvedModel } from '../../config/resolved-config.ts';
import { isPrivateAddress, type LaunchContext } from '../engine.ts';
import type { Environment } from '../engine-environment.ts';
import { engineEnvironment } from '../engine-environment.ts';

/** Seconds that vLLM keeps an idle connection; our pools give theirs up sooner (`VLLM_KEEP_ALIVE_MS`). */
const VLLM_KEEP_ALIVE_S = 75;

/** Idle limit for our pools to vLLM: below the engine's, so that it is always we who close. */
export const VLLM_KEEP_ALIVE_MS = 60_000;

/** Complete environment of a launch. `own` is the gateway's environment. */
export function vllmEnvironment(
  model: ResolvedModel,
  context: LaunchContext,
  own: Environment,
): Readonly<Record<string, string>> {
  return {
    ...engineEnvironment(model, context, own),
    // Development routes (sleep, and code execution too) only where nobody else can reach them.
    ...(isPrivateAddress(context.listen) ? { VLLM_SERVER_DEV_MODE: '1' } : {}),
    VLLM_HTTP_TIMEOUT_KEEP_ALIVE: String(VLLM_KEEP_ALIVE_S),
    VLLM_ENGINE_READY_TIMEOUT_S: String(Math.max(1, Math.ceil(model.loadTimeoutMs / 1000))),
    ...(model.responsesStore ? { VLLM_ENABLE_RESPONSES_API_STORE: '1' } : {}),
    VLLM_NO_USAGE_STATS: '1',
    PYTHONUNBUFFERED: '1',
    // vLLM's processes rename themselves, which overwrites /proc/PID/environ and with it the launch id that tells us
    // whose they are, unless this is set.
    SPT_NOENV: '1',
    ...model.environment,
  };
}
