/**
 * What the real vLLM answered when it was last asked, kept beside the cases: the fast suite holds the simulated engine to
 * it without needing a real one.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CaseRecord, ContractCase } from './contract-case.ts';
import type { SideRecords } from './run-suite.ts';

const recordedPath = join(import.meta.dirname, 'recorded-real.txt');
const reportPath = join(import.meta.dirname, 'observed.md');

/**
 * The record as text, one compared line a line, so that a change shows as such: `vllm VERSION`, then for each case
 * `# NAME` and its lines, escaped as in JSON.
 */
export function readRecorded(): { readonly vllm: string; readonly records: ReadonlyMap<string, CaseRecord> } {
  const records = new Map<string, CaseRecord>();
  if (!existsSync(recordedPath)) return { vllm: 'none', records };
  const [first = '', ...rest] = readFileSync(recordedPath, 'utf8').trimEnd().split('\n');
  let lines: string[] = [];
  for (const line of rest) {
    if (line.startsWith('# ')) {
      lines = [];
      records.set(line.slice(2), { lines, bytes: [] });
    } else {
      lines.push(JSON.parse(`"${line}"`));
    }
  }
  return { vllm: first.replace(/^vllm /, ''), records };
}

export function writeRecorded(vllm: string, real: SideRecords): void {
  const text = [`vllm ${vllm}`];
  for (const [name, record] of real) {
    if ('lines' in record)
      text.push(`# ${name}`, ...record.lines.map((line) => JSON.stringify(line).slice(1, -1)));
  }
  writeFileSync(recordedPath, `${text.join('\n')}\n`);
}

/** The report for people: for every case the bytes of both sides, and why they may differ. */
export function writeReport(
  vllm: string,
  cases: readonly ContractCase[],
  simulated: SideRecords,
  real: SideRecords,
): void {
  const text = [
    '# What vllm-sim and a real vLLM answer',
    '',
    `Written by \`npm run test:vllm\` against vLLM ${vllm} on a processor; do not edit. Times, identifiers and paths are`,
    'replaced, long answers shortened in the middle. "Same" means that the second side differed in volatile values at most.',
  ];
  for (const one of cases) {
    text.push('', `## ${one.name}`);
    if (one.only !== undefined) text.push('', `Only ${one.only.side}: ${one.only.reason}`);
    for (const { line, reason } of one.differences ?? [])
      text.push('', `May differ: \`${line.source}\` (${reason})`);
    text.push(...bytesOf(real.get(one.name), simulated.get(one.name)));
  }
  writeFileSync(reportPath, `${text.join('\n')}\n`);
}

type Outcome = CaseRecord | { readonly failure: string } | undefined;

function bytesOf(real: Outcome, simulated: Outcome): string[] {
  const list = (outcome: Outcome): CaseRecord['bytes'] =>
    outcome !== undefined && 'bytes' in outcome ? outcome.bytes : [];
  const [reals, simulations] = [list(real), list(simulated)];
  const text: string[] = [];
  for (let at = 0; at < Math.max(reals.length, simulations.length); at++) {
    const [left, right] = [reals[at], simulations[at]];
    text.push('', `**${left?.label ?? right?.label}**`);
    const same = left !== undefined && left.text === right?.text;
    if (left !== undefined) text.push('', same ? 'both:' : 'real:', '```', left.text, '```');
    if (right !== undefined && !same) text.push('', 'simulated:', '```', right.text, '```');
  }
  return text;
}
