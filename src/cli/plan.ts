/** `vllm-gateway plan`: what would happen with these models on these devices, before anything runs. */
import type { Environment } from '../config/environment.ts';
import { type ConfigFault, formatFault } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { TextWriter } from './check.ts';
import { parseDeviceSpec } from './device-spec.ts';
import { planJson } from './plan-json.ts';
import { FACTS_LIMIT_MS, isGood, planReport } from './plan-report.ts';
import { planText } from './plan-text.ts';
import { machineDevices, namedDevices } from './planned-devices.ts';
import { VERSION } from './version.ts';

export interface PlanOptions {
  readonly file?: string | undefined;
  /** Other devices than this machine's (device-spec.ts). */
  readonly devices?: string | undefined;
  readonly json?: boolean | undefined;
  readonly environment: Environment;
  readonly factsLimitMs?: number;
}

/** The exit code: 1 if a model never fits, or the configuration or `devices` has faults; 0 otherwise. */
export async function runPlan(options: PlanOptions, output: TextWriter): Promise<number> {
  const { file, environment, json = false } = options;
  const spec = options.devices === undefined ? null : parseDeviceSpec(options.devices);
  const loaded = await loadConfig({ file, environment });
  const faults = [...(loaded.ok ? [] : loaded.error), ...(spec === null || spec.ok ? [] : [spec.error])];
  if (!loaded.ok || spec?.ok === false) return tellFaults(faults, json, output);
  const config = loaded.value;
  const planned =
    spec === null ? await machineDevices(config, environment) : namedDevices(config.devices, spec.value);
  const factsLimitMs = options.factsLimitMs ?? FACTS_LIMIT_MS;
  const report = await planReport({ config, environment, planned, factsLimitMs });
  output.write(json ? `${JSON.stringify(planJson(report), null, 2)}\n` : `${planText(report)}\n`);
  return isGood(report) ? 0 : 1;
}

function tellFaults(faults: readonly ConfigFault[], json: boolean, output: TextWriter): number {
  const texts = faults.map(formatFault);
  output.write(
    json
      ? `${JSON.stringify({ version: VERSION, ok: false, faults: texts }, null, 2)}\n`
      : `${texts.join('\n')}\n`,
  );
  return 1;
}
