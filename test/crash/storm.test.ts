/** The gateway killed fifty times in the middle of its work: nothing orphaned, nothing started twice, no lost byte unnoticed. */
import { test } from 'node:test';
import { PROCESS_RUNTIME } from './storm-runtime.ts';
import { kills, seed, stormStands } from './storm-verdict.ts';

test(`engines as processes: ${kills} kills, seed ${seed}`, () => stormStands(PROCESS_RUNTIME));
