/** The resolved configuration as it may be shown: plain JSON in which every value that may be secret is a placeholder. */
import type { ResolvedConfig, ResolvedModel } from './resolved-config.ts';

export const REDACTED = '[redacted]';

const SECRET_NAME = /key|token|secret|passw|credential|auth|cookie|session|private/i;
/** Arguments whose next word, or part after `=`, is a secret. */
const SECRET_FLAG = /^--?[\w-]*(key|token|secret|password|credential)s?(=|$)/i;
/** User and password in front of a host. */
const URL_USER = /:\/\/[^/\s@]*@/g;

export function redacted(config: ResolvedConfig): Record<string, unknown> {
  const { devices } = config;
  const models = [...config.models].map(([name, model]) => [name, redactedModel(model)]);
  return {
    ...config,
    devices: {
      ...devices,
      memoryLimitMib: Object.fromEntries(devices.memoryLimitMib),
      pools: Object.fromEntries(devices.pools),
    },
    models: Object.fromEntries(models),
    aliases: config.aliases.map((alias) => ({
      ...alias,
      requestDefaults: redactedTree(alias.requestDefaults),
    })),
  };
}

function redactedModel(model: ResolvedModel): Record<string, unknown> {
  return {
    ...model,
    command: model.command === null ? null : redactedArguments(model.command),
    url:
      model.url === null
        ? null
        : {
            ...model.url,
            apiKey: model.url.apiKey === null ? null : REDACTED,
            headers: mapValues(model.url.headers, () => REDACTED),
          },
    requestDefaults: redactedTree(model.requestDefaults),
    environment: mapValues(model.environment, (value, name) =>
      SECRET_NAME.test(name) ? REDACTED : withoutUser(value),
    ),
    vllm: {
      ...model.vllm,
      extraArgs: redactedArguments(model.vllm.extraArgs),
      executable: redactedArguments(model.vllm.executable),
    },
  };
}

/** Command lines with the values of secret flags hidden: `--api-key KEY`, `--api-key=KEY`, `--api-key K1 K2`. */
export function redactedArguments(words: readonly string[]): readonly string[] {
  let hiding = false;
  return words.map((word) => {
    if (!word.startsWith('-')) return hiding ? REDACTED : withoutUser(word);
    const [flag = word] = word.split('=', 1);
    const secret = SECRET_FLAG.test(word);
    hiding = secret && !word.includes('=');
    return secret && word.includes('=') ? `${flag}=${REDACTED}` : withoutUser(word);
  });
}

function withoutUser(value: string): string {
  return value.replace(URL_USER, `://${REDACTED}@`);
}

function redactedTree(value: unknown): unknown {
  if (typeof value === 'string') return withoutUser(value);
  if (Array.isArray(value)) return value.map(redactedTree);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      // `max_tokens` and its kin are numbers; a secret is text.
      const secret = SECRET_NAME.test(key) && typeof inner === 'string';
      return [key, secret ? REDACTED : redactedTree(inner)];
    }),
  );
}

function mapValues(
  values: Readonly<Record<string, string>>,
  change: (value: string, name: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value, name)]));
}
