/** A process that fetches one model and prints the result, for tests of several processes. */

import { fetchedModel, SHORT_LIMITS } from './weights-fetcher.fixture.ts';
import { createWeightsFetcher } from './weights-fetcher.ts';

const fetcher = createWeightsFetcher({ environment: process.env, log: () => {}, limits: SHORT_LIMITS });
const { signal } = new AbortController();
const result = await fetcher.fetch(fetchedModel(), { signal, onProgress: () => {} });
process.stdout.write(JSON.stringify(result));
await fetcher.close();
