/** `vllm-gateway replay`: does this version decide as the recorded one did? */
import { replay } from '../control/run-record.ts';
import type { TextWriter } from './check.ts';

/** The exit code: 0 for the same decisions, 1 for different ones, 2 for a file that cannot be read. */
export async function runReplay(file: string, output: TextWriter): Promise<number> {
  const result = await replay(file).catch((error: unknown) => String(error));
  if (typeof result === 'string') {
    output.write(`${file} cannot be read: ${result}\n`);
    return 2;
  }
  switch (result.kind) {
    case 'same':
      output.write(`${file}: ${result.events} events lead to the same effects.\n`);
      return 0;
    case 'unreadable':
      output.write(`${file}:${result.line}: ${result.detail}.\n`);
      return 2;
    case 'different':
      output.write(
        `${file}:${result.line}: the effects differ.\n  recorded: ${result.recorded}\n  replayed: ${result.replayed}\n`,
      );
      return 1;
  }
}
