/**
 * How a diagnosis is found: a table of texts is searched in the engine's last lines, the first rule that matches
 * anywhere counts, so causes stand before the wrappers that vLLM puts around them. Pure.
 */
import type { Diagnosis, DiagnosisCause, ExitStatus, LaunchRemedy } from './engine.ts';
import { lastUsefulLine, readLine, scrubSecrets, shortened, shownLine } from './output-lines.ts';

export interface DiagnosisRule {
  readonly cause: DiagnosisCause;
  readonly pattern: RegExp;
  readonly retryable: boolean;
  /** One sentence, without a full stop, from the match; `lines` are plain texts for numbers that stand elsewhere. */
  readonly text: (match: RegExpExecArray, lines: readonly string[]) => string;
  /** What the text says is missing; null: it does not say. */
  readonly remedy?: (match: RegExpExecArray, lines: readonly string[]) => LaunchRemedy | null;
  /** Also believed after the engine had been ready; other texts may then come from requests. */
  readonly whileServing?: boolean;
}

/** `servingMark` is the line after which an engine had started. */
export function diagnoseBy(
  rules: readonly DiagnosisRule[],
  servingMark: RegExp,
  exit: ExitStatus,
  lines: readonly string[],
): Diagnosis {
  if (exit.hostMemory === true) return hostOutOfMemory(lines);
  const texts = lines.map((line) => readLine(line).text.trim());
  const served = texts.some((text) => servingMark.test(text));
  for (const rule of rules) {
    if (served && rule.whileServing !== true) continue;
    for (let index = texts.length - 1; index >= 0; index -= 1) {
      const match = rule.pattern.exec(texts[index] ?? '');
      if (match === null) continue;
      const remedy = rule.remedy?.(match, texts) ?? null;
      return {
        cause: rule.cause,
        text: withoutFullStop(shortened(scrubSecrets(rule.text(match, texts)))),
        lastLine: shownLine(texts[index] ?? ''),
        retryable: rule.retryable,
        ...(remedy === null ? {} : { remedy }),
      };
    }
  }
  return diagnoseExit(exit, lines);
}

/** The kernel says so itself, whatever the engine had time to say. */
function hostOutOfMemory(lines: readonly string[]): Diagnosis {
  return {
    cause: 'host_out_of_memory',
    text: 'host memory ran out, not that of its devices, and the kernel killed it: give its container or the host more memory, or keep fewer weights there (`sleep: level_2` or `off`)',
    lastLine: shownLine(lastUsefulLine(lines)),
    retryable: true,
  };
}

/** What the exit alone tells, with the last useful line beside it. */
function diagnoseExit(exit: ExitStatus, lines: readonly string[]): Diagnosis {
  const lastLine = shownLine(lastUsefulLine(lines));
  const after = lastLine === '' ? '' : `: ${withoutFullStop(lastLine)}`;
  if (exit.signal !== null) {
    const hint = exit.signal === 'SIGKILL' ? ' (by hand, or by the kernel when host memory ran out)' : '';
    return { cause: 'killed', text: `killed by ${exit.signal}${hint}${after}`, lastLine, retryable: true };
  }
  if (exit.code === 0) {
    const text = `exited with code 0 without being asked to${after}`;
    return { cause: 'exited_cleanly', text, lastLine, retryable: true };
  }
  if (exit.code === 127 || exit.code === 126) {
    const text = `the command could not be executed (code ${exit.code})${after}`;
    return { cause: 'executable_missing', text, lastLine, retryable: false };
  }
  const how = exit.code === null ? endedUnknown(exit) : `exited with code ${exit.code}`;
  return { cause: 'unknown', text: `${how}${after}`, lastLine, retryable: true };
}

function endedUnknown({ unknownBecause }: ExitStatus): string {
  return unknownBecause === undefined
    ? 'ended in an unknown way'
    : `ended, and its exit code is not known because ${unknownBecause}`;
}

/** The text goes into a sentence of the error catalogue, which brings its own. */
function withoutFullStop(text: string): string {
  return text.replace(/\.+$/, '');
}
