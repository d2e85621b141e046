/**
 * The parsers of one launch: what the configuration names, or what the model's files and the installed vLLM together
 * allow. When in doubt `auto` gives no flag: vLLM does not start with a parser that it does not know.
 */
import type { ResolvedModel } from '../../config/resolved-config.ts';
import { readChatFacts, smallText } from '../../readers/chat-facts.ts';
import type { Environment } from '../engine-environment.ts';
import { reasoningParserFor, toolParserFor } from './parsers.ts';
import { type InstalledParsers, installedParsers, RECENT_PARSERS } from './parsers-registry.ts';

export interface ParserChoice {
  /** Name of the parser; null: no flag. */
  readonly parser: string | null;
  /** Where it comes from, or why there is none; for people. */
  readonly why: string;
}

export interface ParserChoices {
  readonly tool: ParserChoice;
  readonly reasoning: ParserChoice;
}

/**
 * Reads a few small files, only where something is `auto`. `environment` is the gateway's own. `sharesHost` false: vLLM is
 * that of an image, which nobody looks into; it is believed to have what every recent one has.
 */
export function chooseParsers(
  model: ResolvedModel,
  environment: Environment,
  sharesHost = true,
): ParserChoices {
  const { toolParser, reasoningParser } = model.vllm;
  const named = { tool: namedChoice(toolParser), reasoning: namedChoice(reasoningParser) };
  if (named.tool !== null && named.reasoning !== null)
    return { tool: named.tool, reasoning: named.reasoning };
  const automatic = automaticChoices(model, { ...environment, ...model.environment }, sharesHost);
  return { tool: named.tool ?? automatic.tool, reasoning: named.reasoning ?? automatic.reasoning };
}

function namedChoice(configured: string): ParserChoice | null {
  if (configured === 'auto') return null;
  return configured === 'off' ? { parser: null, why: 'off' } : { parser: configured, why: 'configured' };
}

function automaticChoices(
  model: ResolvedModel,
  environment: Environment,
  sharesHost: boolean,
): ParserChoices {
  const neither = (why: string): ParserChoices => {
    const choice = { parser: null, why };
    return { tool: choice, reasoning: choice };
  };
  if (model.engine !== 'vllm' || model.repo === null) return neither('auto: only for `repo` models of vLLM');
  const words = model.vllm.extraArgs;
  const read = readChatFacts(model.repo, { environment, revision: flagValue(words, '--revision') });
  if (read === null) return neither('auto: the files of the model are not on this machine');
  const other = flagValue(words, '--chat-template');
  const facts = other === null ? read : { ...read, template: smallText(other) ?? other };
  const installed = sharesHost ? installedParsers(model.vllm.executable, environment) : RECENT_PARSERS;
  return {
    tool: checked(toolParserFor(facts), 'tool', installed, facts.architecture),
    reasoning: checked(reasoningParserFor(facts), 'reasoning', installed, facts.architecture),
  };
}

function checked(
  parser: string | null,
  kind: keyof InstalledParsers,
  installed: InstalledParsers | null,
  architecture: string,
): ParserChoice {
  if (parser === null)
    return { parser: null, why: `auto: none is known for ${architecture} with its chat template` };
  if (installed === null)
    return {
      parser: null,
      why: `auto: \`${parser}\` fits, but this vLLM cannot be asked whether it has it; name it to use it`,
    };
  return installed[kind].has(parser)
    ? { parser, why: `auto: ${architecture}` }
    : { parser: null, why: `auto: \`${parser}\` fits, but ${lacks(installed)}` };
}

function lacks(installed: InstalledParsers): string {
  return installed === RECENT_PARSERS
    ? 'not every vLLM has it; name it to use it'
    : 'this vLLM does not have it';
}

/** The last value of a flag, which is the one that counts. */
function flagValue(words: readonly string[], flag: string): string | null {
  let value: string | null = null;
  for (const [at, word] of words.entries()) {
    const [name = '', ...rest] = word.split('=');
    if (!name.startsWith('--') || name.replaceAll('_', '-') !== flag) continue;
    value = rest.length > 0 ? rest.join('=') : (words[at + 1] ?? null);
  }
  return value;
}
