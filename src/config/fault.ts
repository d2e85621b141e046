/**
 * What is wrong with a configuration, as data. A fault says where it stands, what was found there and what is allowed, so
 * that its reader can mend it without looking anything up. Values that may be secret never get into one.
 */

/** Keys and list positions from the root of the configuration. */
export type ConfigPath = readonly (string | number)[];

export type FaultOrigin =
  /** Line and column count from 1; both null for the file as a whole. */
  | {
      readonly kind: 'file';
      readonly file: string;
      readonly line: number | null;
      readonly column: number | null;
    }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'flag'; readonly flag: string }
  /** Values that nobody gave: built in, or handed over by a program. */
  | { readonly kind: 'built_in' };

export type FaultCode =
  | 'unreadable'
  | 'syntax'
  | 'too_large'
  | 'duplicate_key'
  | 'unknown_key'
  | 'missing'
  | 'invalid_value'
  | 'unknown_name'
  | 'conflict'
  | 'gateway_managed'
  | 'secret_missing'
  | 'open_address';

export interface ConfigFault {
  readonly code: FaultCode;
  readonly origin: FaultOrigin;
  /** As `formatPath` writes it; empty for the whole. */
  readonly path: string;
  /** What is wrong, without a full stop. */
  readonly problem: string;
  readonly found: string | null;
  readonly allowed: string | null;
  /** The nearest known key or name. */
  readonly nearest: string | null;
}

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/** `models.qwen.extra_args[2]`; keys that would be ambiguous are quoted: `models["qwen2.5"]`. */
function formatPath(path: ConfigPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (!PLAIN_KEY.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

export function formatOrigin(origin: FaultOrigin): string {
  switch (origin.kind) {
    case 'file':
      return origin.line === null ? origin.file : `${origin.file}:${origin.line}:${origin.column}`;
    case 'environment':
      return `environment ${origin.variable}`;
    case 'flag':
      return `command line ${origin.flag}`;
    case 'built_in':
      return 'configuration';
  }
}

/** One line for people: `models.yaml:7:5: models.qwen.repoo: unknown key; did you mean `repo`?` */
export function formatFault(fault: ConfigFault): string {
  const where = fault.path === '' ? '' : `${fault.path}: `;
  const found = fault.found === null ? '' : `; found ${fault.found}`;
  const allowed = fault.allowed === null ? '' : `; allowed: ${fault.allowed}`;
  const nearest = fault.nearest === null ? '' : `; did you mean \`${fault.nearest}\`?`;
  return `${formatOrigin(fault.origin)}: ${where}${fault.problem}${found}${allowed}${nearest}`;
}

export interface FaultDetails {
  readonly found?: string | null;
  readonly allowed?: string | null;
  readonly nearest?: string | null;
}

export function fault(
  code: FaultCode,
  origin: FaultOrigin,
  path: ConfigPath,
  problem: string,
  details: FaultDetails = {},
): ConfigFault {
  const { found = null, allowed = null, nearest = null } = details;
  return { code, origin, path: formatPath(path), problem, found, allowed, nearest };
}

const FOUND_CHARS_MAX = 80;
const SECRET_KEY = /key|token|secret|passw|credential|authorization|headers|environment|request_defaults/i;

/** A value as a fault may show it: shortened, and only its kind where it may be secret. */
export function describeFound(value: unknown, path: ConfigPath): string {
  const secret = path.some((part) => typeof part === 'string' && SECRET_KEY.test(part));
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  switch (typeof value) {
    case 'string':
      return secret || /:\/\/[^/]*@/.test(value) ? 'text' : quoted(value);
    case 'number':
    case 'boolean':
      return secret ? `a ${typeof value}` : String(value);
    default:
      return Object.keys(value).length === 0 ? 'an empty mapping' : 'a mapping';
  }
}

function quoted(value: string): string {
  const shown = value.length > FOUND_CHARS_MAX ? `${value.slice(0, FOUND_CHARS_MAX)}…` : value;
  return JSON.stringify(shown);
}
