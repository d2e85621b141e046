/** What a gateway remembers across restarts: opened at the start, with the figures of the gateway that it replaces. */
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { launchSignature } from '../control/policies.ts';
import { type Result, success } from '../core/result.ts';
import { createFootprintStore, type FootprintStore } from '../store/footprints.ts';
import { importFootprints } from '../store/import-footprints.ts';
import { openStateDatabase, type StateDatabase } from '../store/state-database.ts';
import type { Log } from '../telemetry/log.ts';

export interface GatewayState {
  readonly database: StateDatabase;
  readonly footprints: FootprintStore;
}

/** The error is a sentence for the operator: the file is of a newer gateway. */
export async function openGatewayState(
  config: ResolvedConfig,
  log: Log,
): Promise<Result<GatewayState, string>> {
  const opened = openStateDatabase({
    directory: config.runtime.stateDirectory,
    access: 'own',
    onFault: (text) => log('warn', text),
  });
  if (!opened.ok) return opened;
  const { database, notices } = opened.value;
  for (const { level, text } of notices) log(level, text);
  const footprints = createFootprintStore(database);
  const file = config.runtime.importFootprintsFile;
  if (file === null) return success({ database, footprints });
  const imported = await importFootprints({
    file,
    database,
    footprints,
    models: config.models.values(),
    placementMode: config.scheduling.placementMode,
    signatureOf: launchSignature,
    nowS: Math.floor(Date.now() / 1000),
  });
  for (const { level, text } of imported) log(level, text);
  return success({ database, footprints });
}
