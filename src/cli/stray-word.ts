/** What to say about a word on the command line that is no command: most often one is misspelt, or names the file to serve. */
import { existsSync } from 'node:fs';
import { nearestOf } from '../config/nearest.ts';

/** Where the word stands: instead of a command, or behind `serve`. */
export interface StrayWord {
  readonly word: string;
  readonly isBehindServe: boolean;
  readonly commands: readonly string[];
}

/** For people, and with the command that was probably meant. */
export function strayWordText({ word, isBehindServe, commands }: StrayWord): string {
  if (/\.(ya?ml|json)$/i.test(word) || word.includes('/') || existsSync(word)) {
    return `\`serve\` takes its file behind --config:\n  vllm-gateway serve --config ${word}`;
  }
  if (isBehindServe) return `\`serve\` takes no argument; found \`${word}\` (vllm-gateway serve --help)`;
  const nearest = nearestOf(word, commands);
  const hint = nearest === null ? '.' : `; did you mean \`${nearest}\`?`;
  return `unknown command \`${word}\`${hint} Commands: ${commands.join(', ')} (vllm-gateway --help)`;
}
