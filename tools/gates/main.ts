/** `gates NAME…`: runs the named gates, all of them even after one has failed, and ends with a line for each. */
import { GATES, TASKS } from './gates.ts';

const KNOWN = [...GATES, ...TASKS];

async function runAll(names: readonly string[]): Promise<boolean> {
  const lines: string[] = [];
  let isPassed = true;
  for (const name of names) {
    const gate = KNOWN.find((known) => known.name === name);
    if (gate === undefined) throw new Error(`no gate is called ${name}`);
    if (names.length > 1) process.stdout.write(`\n== ${name}: ${gate.question}\n`);
    const startMs = performance.now();
    const isGatePassed = await gate.run();
    isPassed &&= isGatePassed;
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    lines.push(`${isGatePassed ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  }
  process.stdout.write(`\n${lines.join('\n')}\n`);
  return isPassed;
}

const names = process.argv.slice(2);
const unknown = names.filter((name) => KNOWN.every((gate) => gate.name !== name));
if (names.length === 0 || unknown.length > 0) {
  process.stderr.write(
    `usage: gates NAME…\n${KNOWN.map((gate) => `  ${gate.name}: ${gate.question}`).join('\n')}\n`,
  );
  process.exitCode = 2;
} else if (!(await runAll(names))) {
  process.exitCode = 1;
}
