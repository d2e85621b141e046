/** Writes docs/errors.md from the catalogue of errors: `node tools/generate-error-docs.ts`. */
import { writeFileSync } from 'node:fs';
import { ERRORS, type ErrorCode, type ErrorEntry } from '../src/core/errors.ts';

const FAULTS = {
  client: 'the request',
  operator: 'configuration or capacity',
  engine: 'the engine',
  gateway: 'the gateway',
} as const;

const INTRODUCTION = `# Errors

Every error that the gateway itself answers with. An error of an engine passes unchanged and is not listed here: the gateway's
own carry \`"origin": "gateway"\`.

\`\`\`json
{"error": {"message": "...", "type": "...", "param": null, "code": "..."}, "origin": "gateway", "request_id": "..."}
\`\`\`

On \`/v1/messages\` and below it stands in Anthropic's shape, \`{"type": "error", "error": {"type", "message", "code"}, ...}\`. A
stream that breaks in the middle ends with the same object as its last event, never with a clean end.

- \`code\` is stable: codes are never renamed and never reused. Match on it, not on the message.
- \`retry_after_seconds\` beside \`error\` is the gateway's estimate; the header \`Retry-After\` is the same, but at least 1 and at most
  60, because official SDKs sleep it silently.
- Errors that a retry cannot mend carry \`x-should-retry: false\`, which the official SDKs obey. Where only the occasion decides,
  the header may differ from the column below.

This file is generated from \`src/core/errors.ts\` by \`node tools/generate-error-docs.ts\`.
`;

/** The whole text of docs/errors.md. */
export function renderErrorDocs(): string {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  const table = codes.map((code) => {
    const { status, type, fault, retryable }: ErrorEntry = ERRORS[code];
    return `| [\`${code}\`](#${code}) | ${status} | \`${type}\` | ${FAULTS[fault]} | ${retryable ? 'yes' : 'no'} |`;
  });
  const sections = codes.map((code) => {
    const { status, template, remedy }: ErrorEntry = ERRORS[code];
    return `### ${code}\n\n${status}: ${template}\n\n${remedy}\n`;
  });
  const head = ['| code | status | type | at fault | a retry may help |', '|---|---|---|---|---|'];
  return `${INTRODUCTION}\n${[...head, ...table].join('\n')}\n\n${sections.join('\n')}`;
}

if (import.meta.main) writeFileSync(new URL('../docs/errors.md', import.meta.url), renderErrorDocs());
