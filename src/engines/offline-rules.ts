/** How Hugging Face's libraries say that a file is missing and nobody may be asked for it. */
import type { DiagnosisRule } from './diagnosis-rules.ts';

/** Files that the engine may not ask a hub for. */
export const OFFLINE_RULES: readonly DiagnosisRule[] = [
  {
    cause: 'repository_unreachable',
    pattern:
      /outgoing traffic has been disabled|Cannot find the requested files in the disk cache|OfflineModeIsEnabled|offline mode is enabled/,
    retryable: true,
    text: () =>
      'files of the model are missing in the cache, and the engine may not ask the hub for them (HF_HUB_OFFLINE): `vllm-gateway fetch` brings them',
  },
];
