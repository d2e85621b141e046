/** The process runtime over a store of its own, as the gateway puts them together; for tests. */
import assert from 'node:assert/strict';
import { openStateStore } from '../../store/state-store.ts';
import type { Runtime } from '../runtime.ts';
import { openProcessRuntime } from './process-runtime.ts';

/** Closing the runtime closes its store, so that the next one can be opened over the same directory. */
export async function openRuntimeWithStore(
  stateDirectory: string,
  outputLimitBytes = 1_000_000,
): Promise<Runtime> {
  const store = await openStateStore({ directory: stateDirectory, onFault: (text) => assert.fail(text) });
  assert.ok(store.ok, store.ok ? '' : store.error);
  const { stateId, launches } = store.value;
  const opened = await openProcessRuntime({ stateDirectory, stateId, launches, outputLimitBytes });
  assert.ok(opened.ok, opened.ok ? '' : opened.error);
  const runtime = opened.value;
  const close = runtime.close.bind(runtime);
  let closed: Promise<void> | null = null;
  runtime.close = () => {
    closed ??= close().then(() => store.value.close());
    return closed;
  };
  return runtime;
}
