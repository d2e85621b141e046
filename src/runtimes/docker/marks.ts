/** What says that a container, a network or a process is ours, and of which launch. */
import type { LaunchId, ModelName } from '../../core/ids.ts';
import { LAUNCH_ID } from '../../core/ids.ts';
import type { LaunchSpec } from '../runtime.ts';

export const LAUNCH_ID_LABEL = 'vllm-gateway.launch-id';
export const STATE_ID_LABEL = 'vllm-gateway.state-id';
export const REACH_LABEL = 'vllm-gateway.reach';
/** Of what is made to look whether Docker sees our files: the id of our state directory. */
export const PROBE_LABEL = 'vllm-gateway.probe';
const MODEL_LABEL = 'vllm-gateway.model';
const SIGNATURE_LABEL = 'vllm-gateway.signature';

/** Readable part of a name that is made of a model's. */
const MODEL_CHARS_MAX = 48;

export type ReachKind = 'socket' | 'network' | 'port';

export function labelsOf(
  spec: Pick<LaunchSpec, 'launchId' | 'model' | 'signature'>,
  stateId: string,
  reach: ReachKind,
): Readonly<Record<string, string>> {
  return {
    [LAUNCH_ID_LABEL]: spec.launchId,
    [STATE_ID_LABEL]: stateId,
    [MODEL_LABEL]: spec.model,
    [SIGNATURE_LABEL]: spec.signature,
    [REACH_LABEL]: reach,
  };
}

/** A name that Docker takes: `vllm_server_qwen2.5-7b_mabc123-1`. The launch id makes it unique. */
export function containerName(prefix: string, model: ModelName, launchId: LaunchId): string {
  const safe = (text: string): string => text.replace(/[^A-Za-z0-9_.-]+/g, '-');
  const readable = safe(model)
    .replace(/^[-_.]+/, '')
    .slice(0, MODEL_CHARS_MAX);
  const name = [safe(prefix), readable, launchId].filter((part) => part !== '').join('_');
  return name.replace(/^[^A-Za-z0-9]+/, '');
}

/** Is it one that `containerName` makes of this launch, whatever the prefix was? Docker lists names with a slash in front. */
export function isNameOf(name: string, launchId: LaunchId): boolean {
  const plain = name.replace(/^\//, '');
  return plain === launchId || plain.endsWith(`_${launchId}`);
}

export function networkName(launchId: LaunchId): string {
  return `vllm-gateway-${launchId}`;
}

/** The launch that labels name; null where they name none. */
export function launchIdIn(labels: Readonly<Record<string, string>> | null | undefined): LaunchId | null {
  const launchId = labels?.[LAUNCH_ID_LABEL] ?? '';
  return LAUNCH_ID.test(launchId) ? launchId : null;
}
