/** What a gateway remembers across restarts: opened at the start, with the figures of the gateway that it replaces. */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { launchSignature } from '../control/policies.ts';
import { failure, type Result, success } from '../core/result.ts';
import { openStateDirectory } from '../runtimes/process/state-directory.ts';
import { openActivityLog } from '../store/activity-log.ts';
import { createFootprintStore, type FootprintStore } from '../store/footprints.ts';
import { importFootprints } from '../store/import-footprints.ts';
import { openStateStore, type StateStore } from '../store/state-store.ts';
import type { ActivityLog } from '../telemetry/activity.ts';
import type { Log } from '../telemetry/log.ts';

export interface GatewayState {
  readonly store: StateStore;
  readonly footprints: FootprintStore;
  /** Null: nothing is kept of requests. */
  readonly activity: ActivityLog | null;
}

/** The error is a sentence for the operator: another gateway owns the directory, or the file is of a newer one. */
export async function openGatewayState(
  config: ResolvedConfig,
  log: Log,
): Promise<Result<GatewayState, string>> {
  const { stateDirectory, importFootprintsFile, activity } = config.runtime;
  const onFault = (text: string): void => log('warn', text);
  try {
    // Private before anything is written there.
    await openStateDirectory(stateDirectory);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return failure(`the state directory cannot be used: ${text}`);
  }
  const opened = await openStateStore({ directory: stateDirectory, onFault });
  if (!opened.ok) return opened;
  const store = opened.value;
  for (const { level, text } of store.notices) log(level, text);
  const footprints = createFootprintStore(store.database);
  if (importFootprintsFile !== null) {
    const imported = await importFootprints({
      file: importFootprintsFile,
      database: store.database,
      footprints,
      models: config.models.values(),
      placementMode: config.scheduling.placementMode,
      signatureOf: launchSignature,
      nowS: Math.floor(Date.now() / 1000),
    });
    for (const { level, text } of imported) log(level, text);
  }
  const { rowsMax, daysMax } = activity;
  const { thread } = store;
  return success({
    store,
    footprints,
    activity: activity.enabled
      ? openActivityLog({ directory: stateDirectory, rowsMax, daysMax, thread, onFault })
      : null,
  });
}
