/** `vllm-gateway size`: what one model needs on each of its devices, with every part, and what would make it fit. */
import type { Environment } from '../config/environment.ts';
import { defaultStateDirectory } from '../config/resolve.ts';
import { type ReadFacts, readModelFacts } from '../readers/model-reader.ts';
import { type Footprint, type FootprintRequest, footprint, sequencesThatFit } from '../sizing/footprint.ts';
import type { KvType } from '../sizing/kv-cache.ts';
import type { FloatType } from '../sizing/model-facts.ts';
import { type FittingChange, nearestFit } from '../sizing/nearest-fit.ts';
import { parameterCount } from '../sizing/weights.ts';
import type { TextWriter } from './check.ts';

export interface SizeOptions {
  readonly repo: string;
  readonly request: FootprintRequest;
  /** Memory of one device that the model may take; null: not asked. */
  readonly deviceMib: number | null;
  readonly revision: string | undefined;
  readonly json: boolean;
  readonly stateDirectory: string | null;
  readonly environment: Environment;
}

/** What the command line gives. */
export interface SizeFlags {
  readonly tp: number;
  readonly pp: number;
  readonly maxModelLen?: number;
  readonly seqs: number;
  readonly kvDtype: KvType;
  readonly dtype?: FloatType;
  readonly quantization?: string;
  readonly deviceMib?: number;
  readonly revision?: string;
  readonly stateDirectory?: string;
  readonly json?: boolean;
}

export function sizeOptions(repo: string, flags: SizeFlags, environment: Environment): SizeOptions {
  return {
    repo,
    request: {
      tensorParallel: flags.tp,
      pipelineParallel: flags.pp,
      maxModelLen: flags.maxModelLen ?? null,
      sequences: flags.seqs,
      kvType: flags.kvDtype,
      dtype: flags.dtype ?? null,
      quantization: flags.quantization ?? null,
    },
    deviceMib: flags.deviceMib ?? null,
    revision: flags.revision,
    json: flags.json ?? false,
    stateDirectory: flags.stateDirectory ?? defaultStateDirectory(environment),
    environment,
  };
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** The exit code: 0 if the model was sized (and fits, where a device was named), 1 otherwise. */
export async function runSize(options: SizeOptions, output: TextWriter): Promise<number> {
  const { environment, stateDirectory, revision } = options;
  const read = await readModelFacts(options.repo, { environment, stateDirectory, revision });
  if (!read.ok) {
    output.write(options.json ? `${JSON.stringify({ error: read.error })}\n` : `${read.error.text}.\n`);
    return 1;
  }
  const sized = footprint(read.value.facts, options.request);
  if (!sized.ok) {
    output.write(
      options.json ? `${JSON.stringify({ error: { text: sized.error } })}\n` : `${sized.error}.\n`,
    );
    return 1;
  }
  const { deviceMib } = options;
  const fits = deviceMib === null || sized.value.totalMib <= deviceMib;
  const changes = fits || deviceMib === null ? [] : nearestFit(read.value.facts, sized.value, deviceMib);
  const report = { options, read: read.value, need: sized.value, changes };
  output.write(options.json ? `${JSON.stringify(jsonReport(report), null, 2)}\n` : `${textReport(report)}\n`);
  return fits ? 0 : 1;
}

interface Report {
  readonly options: SizeOptions;
  readonly read: ReadFacts;
  readonly need: Footprint;
  readonly changes: readonly FittingChange[];
}

function jsonReport({ options, read, need, changes }: Report): object {
  const { facts } = read;
  return {
    repo: options.repo,
    commit: read.commit,
    origin: read.origin,
    architecture: facts.architecture,
    parameters: parameterCount(facts),
    weights_from: facts.stored === null ? 'config' : facts.stored.source,
    assumptions: facts.assumptions,
    max_model_len: need.maxModelLen,
    native_max_model_len: facts.nativeMaxModelLen,
    sequences: need.request.sequences,
    tensor_parallel_size: need.request.tensorParallel,
    pipeline_parallel_size: need.request.pipelineParallel,
    per_device: {
      weights_bytes: Math.round(need.weights.bytesPerRank),
      weights_parts: need.weights.parts.map(({ kind, parameters, bytesPerRank }) => ({
        kind,
        parameters,
        bytes: Math.round(bytesPerRank),
      })),
      kv_bytes_per_token: need.kv.bytesPerToken,
      kv_growth_bytes_per_token: need.kv.growthBytesPerToken,
      state_bytes_per_request: need.kv.stateBytes,
      kv_bytes_per_request: need.kv.bytesPerRequest,
      kv_bytes_per_further_request: need.kv.bytesPerFurtherRequest,
      kv_bytes: need.kvBytes,
      overhead_bytes: Math.round(need.overheadBytes),
      total_mib: need.totalMib,
    },
    ...(options.deviceMib === null ? {} : fitReport(need, options.deviceMib, changes)),
  };
}

function fitReport(need: Footprint, deviceMib: number, changes: readonly FittingChange[]): object {
  return {
    device_mib: deviceMib,
    fits: need.totalMib <= deviceMib,
    sequences_that_fit: sequencesThatFit(need, deviceMib),
    would_fit_with: changes.map(({ change, text, need: { totalMib } }) => ({
      change,
      text,
      total_mib: totalMib,
    })),
  };
}

function textReport({ options, read, need, changes }: Report): string {
  const { facts } = read;
  const { request } = need;
  const count = `${(parameterCount(facts) / 1e9).toFixed(2)} billion parameters`;
  const weightsFrom =
    facts.stored === null ? 'computed from the configuration' : `from ${facts.stored.source} headers`;
  const packing = facts.quantization === null ? facts.dtype : facts.quantization.method;
  const revision = read.commit === null ? '' : ` (${read.commit.slice(0, 12)})`;
  const devices = request.tensorParallel * request.pipelineParallel;
  return [
    `${options.repo}${revision}: ${facts.architecture}, ${count}, ${packing}; read from ${read.origin}`,
    ...facts.assumptions.map((text) => `note: ${text}`),
    '',
    `On ${devices === 1 ? 'one device' : `each of ${devices} devices`}${stageText(need)}:`,
    ...rows([
      ['weights', size(need.weights.bytesPerRank), weightsFrom],
      ...need.weights.parts.map((part): Row => [`  ${part.kind}`, size(part.bytesPerRank), '']),
      ['KV cache', size(need.kvBytes), cacheText(need)],
      ['overhead', size(need.overheadBytes), `x ${need.overhead.factor} + ${need.overhead.mib} MiB`],
      ['total', `${need.totalMib} MiB`, ''],
    ]),
    ...cacheLines(need),
    ...fitLines(need, options.deviceMib, changes),
  ].join('\n');
}

function stageText({ request, stage, weights }: Footprint): string {
  if (request.pipelineParallel === 1) return '';
  return `, of the stage that needs most (number ${stage + 1}, layers ${weights.firstLayer} to ${weights.endLayer - 1})`;
}

function cacheText({ request, maxModelLen, kv }: Footprint): string {
  if (kv.bytesPerRequest === 0) return 'none: the model keeps no cache';
  const sequences = request.sequences === 1 ? '1 sequence' : `${request.sequences} sequences`;
  return `${sequences} of ${maxModelLen} tokens`;
}

function cacheLines({ kv }: Footprint): string[] {
  if (kv.bytesPerRequest === 0) return [];
  const windows =
    kv.growthBytesPerToken === kv.bytesPerToken ? '' : `, ${kv.growthBytesPerToken} once windows are full`;
  const states = kv.stateBytes === 0 ? '' : `; state of a request: ${size(kv.stateBytes)}`;
  const further =
    kv.bytesPerFurtherRequest === kv.bytesPerRequest
      ? ''
      : `, each further one ${size(kv.bytesPerFurtherRequest)}`;
  return [
    '',
    `KV cache per token: ${kv.bytesPerToken} bytes${windows}${states}`,
    `KV cache per request: ${size(kv.bytesPerRequest)}${further}, in blocks of ${kv.blockTokens} tokens`,
  ];
}

function fitLines(need: Footprint, deviceMib: number | null, changes: readonly FittingChange[]): string[] {
  if (deviceMib === null) return [];
  if (need.totalMib <= deviceMib) {
    const count = sequencesThatFit(need, deviceMib);
    const sequences = count === null ? '' : `, with room for ${count} such sequences`;
    return ['', `It fits into ${deviceMib} MiB${sequences}.`];
  }
  const start = `It does not fit into ${deviceMib} MiB: ${need.totalMib - deviceMib} MiB are missing.`;
  if (changes.length === 0)
    return ['', `${start} No shorter context and no number of devices up to 16 changes that.`];
  return [
    '',
    `${start} It would with${changes.length === 1 ? '' : ' any of'}:`,
    ...rows(changes.map(({ text, need: { totalMib } }): Row => [text, `${totalMib} MiB`, ''])),
  ];
}

type Row = readonly [name: string, value: string, remark: string];

function rows(lines: readonly Row[]): string[] {
  const nameWidth = Math.max(...lines.map(([name]) => name.length));
  const valueWidth = Math.max(...lines.map(([, value]) => value.length));
  return lines.map(([name, value, remark]) =>
    `  ${name.padEnd(nameWidth)}  ${value.padStart(valueWidth)}  ${remark}`.trimEnd(),
  );
}

function size(bytes: number): string {
  return bytes >= 10 * GIB
    ? `${(bytes / GIB).toFixed(1)} GiB`
    : `${(bytes / MIB).toFixed(bytes < 10 * MIB ? 2 : 0)} MiB`;
}
