/** A real Docker for tests: a private daemon with the test images, or the reason why there is none. */
import { ensureComponents } from './components.ts';
import { type Daemon, type DaemonOptions, startDaemon } from './daemon.ts';
import { importImages } from './images.ts';

export type LabResult =
  | { readonly kind: 'lab'; readonly daemon: Daemon }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Whoever opens it disposes of its daemon. */
export async function openDockerLab(options: DaemonOptions = { liveRestore: false }): Promise<LabResult> {
  const reason = await ensureComponents((text) => process.stderr.write(`${text}\n`));
  if (reason !== null) return { kind: 'unavailable', reason };
  let daemon: Daemon;
  try {
    daemon = await startDaemon(options);
  } catch (error) {
    return { kind: 'unavailable', reason: error instanceof Error ? error.message : String(error) };
  }
  try {
    await importImages(daemon.socketPath);
  } catch (error) {
    await daemon.dispose();
    throw error;
  }
  return { kind: 'lab', daemon };
}
