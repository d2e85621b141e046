/** Reading of an engine's output lines, shared by all engines that are Python or talk like it. Pure. */

/** A diagnosis is shown to clients: longer lines are cut. */
const SHOWN_CHARS_MAX = 400;

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours start with the escape character.
const ANSI_ESCAPE = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** `(EngineCore pid=17) ERROR 11-24 08:00:00 [core.py:12] ` and its parts, each optional; longer process names occur. */
const PREFIX =
  /^(?:\((?<process>[A-Za-z][\w .-]*?) pid=\d+\)\s*)?(?:(?<level>TRACE|DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL):?\s+)?(?:\d\d(?:\d\d)?-\d\d(?:-\d\d)?[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?\s*)?(?:\[[\w./-]+(?::\d+)?\]\s?)?/;

export interface OutputLine {
  /** Upper-case level, null for lines without one. */
  readonly level: string | null;
  /** The line without colours and prefix; indentation is kept. */
  readonly text: string;
}

/** Takes colours and the logger's prefix off a line. */
export function readLine(line: string): OutputLine {
  const plain = line.replace(ANSI_ESCAPE, '');
  const match = PREFIX.exec(plain);
  if (match === null || match[0] === '') return { level: null, text: plain };
  return { level: match.groups?.level ?? null, text: plain.slice(match[0].length) };
}

const PROGRESS_BAR = /\d+%(?: Completed)?\s*\||\|\s*\d+\/\d+\s*\[|\bit\/s\]|\bs\/it\]/;

/** Lines that stand around a failure without saying what failed. */
const SAYS_NOTHING: readonly RegExp[] = [
  /^\s*$/,
  /^\s+/,
  /^[\s^~=*.#+-]*$/,
  /^Traceback \(most recent call last\)/,
  /^During handling of the above exception/,
  /^The above exception was the direct cause/,
  /^File ".*", line \d+/,
  /^For (?:further|more) information|^Note: |^note: /,
  /resource_tracker|leaked (?:semaphore|shared_memory)/,
  /^usage: /,
  /^(?:INFO|WARNING):?\s*$/,
  /destroy_process_group\(\)/,
];

/** True statements that only point at the real cause elsewhere. */
const POINTS_ELSEWHERE =
  /See root cause above|EngineCore failed to start|WorkerProc failed to start|WorkerProc initialization failed|Engine core proc .* died unexpectedly|Shutting down|Waiting for application shutdown|Finished server process|Application shutdown complete/;

const EXCEPTION = /^(?:[A-Za-z_][\w]*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Failure)\b(?:: ?|$)/;

/**
 * The last line that says something (`lines` oldest first): an exception's own line before any other error, an error
 * before the rest, never a progress bar or a frame of a traceback. Empty if there is none. Not yet scrubbed.
 */
export function lastUsefulLine(lines: readonly string[]): string {
  let anyError = '';
  let anything = '';
  let pointer = '';
  for (let index = lines.length - 1; index >= 0; index -= 1) {
    const { level, text } = readLine(lines[index] ?? '');
    if (PROGRESS_BAR.test(text) || SAYS_NOTHING.some((pattern) => pattern.test(text))) continue;
    if (POINTS_ELSEWHERE.test(text)) {
      pointer ||= text;
      continue;
    }
    if (EXCEPTION.test(text)) return text.trimEnd();
    if (isErrorLevel(level) || /\berror: /i.test(text)) anyError ||= text;
    anything ||= text;
  }
  return (anyError || anything || pointer).trimEnd();
}

function isErrorLevel(level: string | null): boolean {
  return level === 'ERROR' || level === 'CRITICAL' || level === 'FATAL';
}

const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/\bhf_[A-Za-z0-9]{6,}/g, 'hf_***'],
  [/\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}/g, '***'],
  [/\b(Bearer)\s+[A-Za-z0-9._~+/=-]{4,}/gi, '$1 ***'],
  [/\b(Authorization['"]?\s*[:=]\s*['"]?)(?!Bearer)(\w+\s+)?[A-Za-z0-9._~+/=-]+/gi, '$1$2***'],
  // `'api_key': ['a', 'b']`, `--api-key a`, `api_key=a`, `"token": "a"`; a bare word `token` in prose stays.
  [
    /((?:--)?['"]?\b(?:api[_-]?key|hf[_-]?token|access[_-]?token|auth[_-]?token|password|secret)\b['"]?\s*[:= ]\s*)(\[[^\]]*\]|'[^']*'|"[^"]*"|[^\s,;)}\]]+)/gi,
    '$1***',
  ],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]+:[^\s/@]+@/gi, '$1***@'],
];

/** Replaces what looks like a credential. Log lines reach clients and consoles, where no secret may be. */
export function scrubSecrets(text: string): string {
  let scrubbed = text;
  for (const [pattern, replacement] of SECRETS) scrubbed = scrubbed.replace(pattern, replacement);
  return scrubbed;
}

/** A line fit to be shown: scrubbed, without its prefix, and cut to a readable length. */
export function shownLine(line: string): string {
  return shortened(scrubSecrets(readLine(line).text.trim()));
}

/** Cuts what is too long for an error message. */
export function shortened(text: string): string {
  return text.length <= SHOWN_CHARS_MAX ? text : `${text.slice(0, SHOWN_CHARS_MAX - 1)}…`;
}
