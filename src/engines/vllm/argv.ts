/**
 * The command line of `vllm serve`. Flags of the user's `extra_args` come last and verbatim; a flag that they name is not
 * generated too, because some of vLLM's flags take lists and would not simply be overridden.
 */

import type { ResolvedModel } from '../../config/resolved-config.ts';
import { assert } from '../../core/assert.ts';
import { commandArgv } from '../command-template.ts';
import type { LaunchContext } from '../engine.ts';
import { modelArgument } from '../host-files.ts';
import { adapterFlags } from './adapter-flags.ts';
import { knowsFlag } from './installed-version.ts';

/** Where listening is decided: the gateway would not find an engine that listens elsewhere. */
const FLAGS_KEPT: ReadonlySet<string> = new Set(['--uds', '--host', '--port']);

/** Short names of flags that we generate, as vLLM knows them. */
const FLAG_ALIASES: Readonly<Record<string, string>> = {
  '-tp': '--tensor-parallel-size',
  '-q': '--quantization',
  '--device-memory-utilization': '--gpu-memory-utilization',
  '--no-enforce-eager': '--enforce-eager',
  '--no-enable-sleep-mode': '--enable-sleep-mode',
  '--no-enable-auto-tool-choice': '--enable-auto-tool-choice',
  '--no-enable-lora': '--enable-lora',
};

/** Names of vLLM's parsers; null: no flag. */
export interface ParserNames {
  readonly tool: string | null;
  readonly reasoning: string | null;
}

export type Flag = readonly [name: string, ...values: string[]];

/** What a command line needs to know of the installed vLLM; asked only where it matters. */
export interface Installation {
  readonly executable: readonly string[];
  readonly parsers: () => ParserNames;
  /** Null: unknown. */
  readonly version: () => string | null;
  /** What its processes hold on each device outside of their share. */
  readonly contextMib: number;
}

/**
 * argv of a launch: the model's own `command` where it has one, else `vllm serve`. Not generated are flags that the
 * user's `extra_args` name, that this launch must do without, or that the installed vLLM is too old for.
 */
export function vllmArgv(
  model: ResolvedModel,
  context: LaunchContext,
  installation: Installation,
): readonly string[] {
  if (model.command !== null) return commandArgv(model.command, model, context);
  const argument = modelArgument(model, context);
  assert(argument !== null, `model ${model.name} has neither a repository nor a command`);
  const given = namesOf(model.vllm.extraArgs);
  const version = installation.version();
  const generated = [
    ...flags(model, context, installation.contextMib),
    ...parserFlags(installation.parsers()),
    ...adapterFlags(model, context),
  ].filter(
    ([name]) =>
      FLAGS_KEPT.has(name) ||
      !(given.has(name) || context.withoutFlags.has(name) || !knowsFlag(version, name)),
  );
  return [...installation.executable, 'serve', argument, ...generated.flat(), ...model.vllm.extraArgs];
}

function flags(model: ResolvedModel, context: LaunchContext, contextMib: number): readonly Flag[] {
  const { vllm } = model;
  const list: Flag[] = [['--served-model-name', model.servedName], ...listenFlags(context)];
  const tokenizer = context.source?.tokenizer ?? null;
  if (tokenizer !== null) list.push(['--tokenizer', tokenizer]);
  if (vllm.maxModelLen > 0) list.push(['--max-model-len', String(vllm.maxModelLen)]);
  if (vllm.maxNumSeqs > 0) list.push(['--max-num-seqs', String(vllm.maxNumSeqs)]);
  const ranks = context.deviceSource === 'host' ? vllm.tensorParallelSize : context.deviceIds.length;
  if (ranks > 1) list.push(['--tensor-parallel-size', String(ranks)]);
  if (vllm.quantization !== null) list.push(['--quantization', vllm.quantization]);
  if (vllm.dtype !== null) list.push(['--dtype', vllm.dtype]);
  if (context.deviceSource !== 'host') {
    list.push(['--gpu-memory-utilization', String(utilization(model, context, contextMib))]);
  }
  if (context.kvCacheBytes !== null) list.push(['--kv-cache-memory-bytes', String(context.kvCacheBytes)]);
  if (context.sleepMode) list.push(['--enable-sleep-mode']);
  if (vllm.enforceEager) list.push(['--enforce-eager']);
  return list;
}

function parserFlags({ tool, reasoning }: ParserNames): readonly Flag[] {
  const list: Flag[] = [];
  if (tool !== null) list.push(['--enable-auto-tool-choice'], ['--tool-call-parser', tool]);
  if (reasoning !== null) list.push(['--reasoning-parser', reasoning]);
  return list;
}

function listenFlags({ listen }: LaunchContext): readonly Flag[] {
  return listen.kind === 'unix'
    ? [['--uds', listen.socketPath]]
    : [
        ['--host', listen.host],
        ['--port', String(listen.port)],
      ];
}

/**
 * Share of each device that vLLM may take: what was reserved there. For a model that gets whole devices not more than
 * its configured utilisation, unless the size of its KV cache is given: then this share only has to cover the whole,
 * because vLLM checks it against what is free and sizes nothing by it. The driver's context lies outside of the share:
 * vLLM looks at what is free when its context is there already. Rounded down, so that the engine never claims a byte
 * beyond its reservation.
 */
export function utilization(
  model: ResolvedModel,
  context: Pick<LaunchContext, 'memoryMibPerDevice' | 'deviceMemoryMib' | 'kvCacheBytes'>,
  contextMib = 0,
): number {
  const reservedMib = Math.max(0, context.memoryMibPerDevice - contextMib);
  const share = context.deviceMemoryMib > 0 ? reservedMib / context.deviceMemoryMib : 1;
  const isBounded = model.need.memoryMibPerDevice === null && context.kvCacheBytes === null;
  const wanted = isBounded ? Math.min(share, model.vllm.gpuMemoryUtilization) : share;
  // A reservation of 0.9 x total divides to 0.8999999: without the nudge rounding down would lose a step.
  return Math.max(0.0001, Math.min(1, Math.floor(wanted * 10_000 + 1e-6) / 10_000));
}

/** Long names of the flags in an argument list; vLLM reads underscores as dashes. */
function namesOf(extraArgs: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const argument of extraArgs) {
    if (!argument.startsWith('-')) continue;
    const name = argument.split('=', 1)[0] ?? argument;
    const dashed = name.startsWith('--') ? name.replaceAll('_', '-') : name;
    names.add(FLAG_ALIASES[dashed] ?? dashed);
  }
  return names;
}
