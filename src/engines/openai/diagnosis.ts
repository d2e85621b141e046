/** Why any other server ended: what operating systems and Python say in the same words everywhere. */

import type { DiagnosisRule } from '../diagnosis-rules.ts';
import { diagnoseBy } from '../diagnosis-rules.ts';
import type { Diagnosis, ExitStatus } from '../engine.ts';
import { DEVICE_RULES } from '../lost-device-rules.ts';
import { OFFLINE_RULES } from '../offline-rules.ts';

const RULES: readonly DiagnosisRule[] = [
  {
    cause: 'out_of_memory',
    pattern:
      /out of memory\b.*|OutOfMemoryError.*|cudaMalloc failed.*|failed to allocate .*buffer.*|Cannot allocate memory.*|\bMemoryError\b.*/i,
    retryable: true,
    whileServing: true,
    text: (m) => `out of memory: ${m[0]}`,
  },
  ...DEVICE_RULES,
  ...OFFLINE_RULES,
  {
    cause: 'port_taken',
    pattern: /Address already in use|EADDRINUSE|couldn't bind .*socket/i,
    retryable: true,
    text: () => 'the address to listen on was taken by another process',
  },
  {
    cause: 'unknown_flag',
    pattern:
      /(?:error: )?(?:unrecognized arguments?|unknown (?:option|argument|flag)|unexpected argument|invalid option)\b:? *(.*)/i,
    retryable: false,
    text: (m) => `the server does not know the argument ${(m[1] ?? '').trim()}`.trimEnd(),
  },
  {
    cause: 'gated_repository',
    pattern: /trying to access a gated repo|Cannot access gated repo|GatedRepoError|401 Client Error/,
    retryable: false,
    text: () =>
      'the repository is gated or private: accept its terms and give HF_TOKEN a token that may read it',
  },
  {
    cause: 'executable_missing',
    pattern: /No module named (\S+)/,
    retryable: false,
    text: (m) => `the Python that was started has no module ${m[1]}`,
  },
];

/** Uvicorn's, llama.cpp's and most others' word for being up. */
const SERVING = /Application startup complete|(?:server is )?listening (?:on|at)|Uvicorn running on/i;

/** `lines` oldest first, as the runtime delivered them. */
export function diagnoseServer(exit: ExitStatus, lines: readonly string[]): Diagnosis {
  return diagnoseBy(RULES, SERVING, exit, lines);
}
