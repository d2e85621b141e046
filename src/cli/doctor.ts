/** `vllm-gateway doctor`: looks at everything on this machine that serving depends on, and says what to do about it. */
import type { Environment } from '../config/environment.ts';
import { formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { ResolvedConfig } from '../config/resolved-config.ts';
import { createSystemClock } from '../control/system-clock.ts';
import { assert } from '../core/assert.ts';
import type { Check } from '../doctor/check.ts';
import { diagnose } from '../doctor/diagnose.ts';
import { gatherFacts, type Subject } from '../doctor/gather.ts';
import type { TextWriter } from './check.ts';
import { VERSION } from './version.ts';

export interface DoctorOptions {
  readonly file?: string | undefined;
  /** Instead of the configured one. */
  readonly stateDirectory?: string | undefined;
  readonly json?: boolean | undefined;
  readonly environment: Environment;
}

/** Stands in for a configuration with faults: a model that needs nothing of this machine. */
const NO_ENGINES = { models: { elsewhere: { url: 'http://127.0.0.1:1' } } };

/** The exit code: 1 if anything fails, 0 otherwise, warnings included. */
export async function runDoctor(options: DoctorOptions, output: TextWriter): Promise<number> {
  const checks = diagnose(await gatherFacts(await subjectOf(options)));
  const failed = checks.some(({ status }) => status === 'fail');
  output.write(
    options.json === true
      ? `${JSON.stringify({ version: VERSION, ok: !failed, checks }, null, 2)}\n`
      : `${textReport(checks)}\n`,
  );
  return failed ? 1 : 0;
}

/** With faults the machine is judged all the same, for a gateway without engines. */
async function subjectOf({ file, stateDirectory, environment }: DoctorOptions): Promise<Subject> {
  const clock = createSystemClock();
  const overrides = stateDirectory === undefined ? {} : { stateDirectory };
  const loaded = await loadConfig({ file, environment, overrides });
  if (loaded.ok) {
    const configuration = { source: sourceOf(loaded.value), faults: [] };
    return { config: loaded.value, configuration, environment, clock };
  }
  const configuration = { source: file ?? 'the configuration', faults: loaded.error.map(formatFault) };
  // Only where things lie: the variables that configure the gateway may be what is at fault.
  const { HOME, XDG_STATE_HOME } = environment;
  const empty = await loadConfig({
    object: NO_ENGINES,
    environment: { HOME, XDG_STATE_HOME },
    overrides,
  });
  assert(empty.ok, 'the stand-in has no faults');
  return { config: empty.value, configuration, environment, clock };
}

function sourceOf({ origin, file }: ResolvedConfig): string {
  if (origin === 'demonstration') return 'the built-in demonstration';
  return file ?? (origin === 'allowed_models_json' ? 'ALLOWED_MODELS_JSON' : 'the configuration');
}

function textReport(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ id }) => id.length));
  const lines = checks.flatMap(({ id, status, found, remedy }) => [
    `${status.padEnd(4)}  ${id.padEnd(width)}  ${found}`,
    ...(remedy === null ? [] : [`${' '.repeat(width + 8)}-> ${remedy}`]),
  ]);
  const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length;
  return [...lines, '', `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} to mend.`].join(
    '\n',
  );
}
