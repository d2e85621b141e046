/**
 * vLLM's start, read from its output. Only progress comes from here: readiness is /health, failure is the exit. Lines
 * differ between releases and not every one appears (eager mode compiles and captures nothing), so each is optional.
 */
import type { EnginePhase, PhaseReport } from '../engine.ts';
import { readLine } from '../output-lines.ts';

type Rule = readonly [pattern: RegExp, phase: EnginePhase, percent: number | null | 'first_group'];

/** The first that matches counts. Anchored at the start of the text, so that echoed arguments cannot match. */
const RULES: readonly Rule[] = [
  [/^non-default args: /, 'configuring', null],
  [/^Resolved architecture: /, 'configuring', null],
  [/^Using max model len \d+/, 'configuring', null],
  [/^Initializing an? (?:V1 )?LLM engine/, 'configuring', null],
  [/^(?:Fetching \d+ files|\S+\.(?:safetensors|bin|gguf|pt|pth)):\s+(\d+)%\|/, 'downloading', 'first_group'],
  [/^Time spent downloading weights/, 'downloading', 100],
  [/^Starting to load model /, 'loading', 0],
  [/^Loading (?:\S+ )*checkpoint shards(?: \([^)]*\))?:\s+(\d+)%/, 'loading', 'first_group'],
  [/^Loading weights took /, 'loading', 100],
  [/^Model loading took /, 'loading', 100],
  [/^Starting torch\.compile/, 'compiling', null],
  [/^Dynamo bytecode transform time: /, 'compiling', null],
  [/^Compiling a graph for compile range /, 'compiling', null],
  [/^Directly load the compiled graph/, 'compiling', null],
  [/^torch\.compile (?:took|and initial profiling)/, 'compiling', 100],
  [/^Initial profiling\/warmup run took/, 'profiling', null],
  [/^Estimated CUDA graph memory: /, 'profiling', null],
  [/^Available KV cache memory: /, 'profiling', null],
  [/^Initial free memory .* reserved .* for KV Cache/, 'profiling', null],
  [/^Explicitly set .* for KV cache/, 'profiling', null],
  [/^\w+ KV cache size: [\d,]+ tokens/, 'profiling', 100],
  [/^Auto-fit max_model_len: /, 'profiling', null],
  [/^Capturing CUDA graphs?[^:]*:\s+(\d+)%/, 'capturing', 'first_group'],
  [/^Capturing CUDA graphs?/, 'capturing', null],
  [/^Graph capturing finished/, 'capturing', 100],
  [/^init engine \(profile, create kv cache, warmup model\) took/, 'serving', null],
  [/^Supported tasks: \[/, 'serving', null],
  [/^Starting vLLM (?:API )?server /, 'serving', null],
  [/^Application startup complete/, 'serving', 100],
];

/** Phase and progress of one line of output; null for a line that says nothing of them. */
export function parseVllmLine(line: string): PhaseReport | null {
  const text = readLine(line).text.trimStart();
  for (const [pattern, phase, percent] of RULES) {
    const match = pattern.exec(text);
    if (match === null) continue;
    return { phase, percent: percent === 'first_group' ? percentOf(match[1]) : percent };
  }
  return null;
}

function percentOf(digits: string | undefined): number {
  return Math.min(100, Number(digits ?? 0));
}
