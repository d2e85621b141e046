/** The parsers that the installed vLLM has, read from its own tables without running it. */
import { join } from 'node:path';
import type { Environment } from '../engine-environment.ts';
import { packageFolders, smallFile } from './installation.ts';

export interface InstalledParsers {
  readonly tool: ReadonlySet<string>;
  readonly reasoning: ReadonlySet<string>;
}

/** What every vLLM since 0.11 has, of those that we choose among. */
export const RECENT_PARSERS: InstalledParsers = {
  tool: new Set([
    'deepseek_v3',
    'deepseek_v31',
    'glm45',
    'granite',
    'hermes',
    'jamba',
    'kimi_k2',
    'llama3_json',
    'mistral',
    'openai',
    'qwen3_coder',
    'seed_oss',
  ]),
  reasoning: new Set(['deepseek_r1', 'glm45', 'granite', 'openai_gptoss', 'qwen3', 'seed_oss']),
};

/** Null: it cannot be looked into. Never throws. */
export function installedParsers(
  executable: readonly string[],
  environment: Environment,
): InstalledParsers | null {
  for (const folder of packageFolders(executable, environment)) {
    const place = join(folder, 'vllm');
    const tool =
      tableOf(join(place, 'tool_parsers/__init__.py')) ??
      tableOf(join(place, 'entrypoints/openai/tool_parsers/__init__.py'));
    const reasoning = tableOf(join(place, 'reasoning/__init__.py'));
    if (tool !== null && reasoning !== null) return { tool, reasoning };
  }
  return null;
}

/** Keys of the table that registers parsers; null where the file is not there or has another form. */
function tableOf(file: string): ReadonlySet<string> | null {
  const names = [...(smallFile(file) ?? '').matchAll(/^ {4}"([\w.-]+)": \(/gm)].map(([, name = '']) => name);
  return names.length === 0 ? null : new Set(names);
}
