/**
 * Tables of faulty files. In each text `⟦` marks where a fault must be reported; the marks are taken out before the text is
 * read, so a position in a table cannot drift from what a reader of the table sees.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ConfigFault, formatFault } from './fault.ts';
import type { HostFacts } from './host-facts.ts';
import { loadConfig } from './load.ts';

/** A machine without Docker, whatever the one of the test has. */
export const BARE_HOST: HostFacts = { dockerSocket: 'absent', isContainer: false };

let directory = '';
/** Gives the tests of a file a directory for their files. */
export function useDirectory(): void {
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gateway-config-'));
  });
  after(() => rm(directory, { recursive: true }));
}

/** A path in that directory. */
export function pathOf(name: string): string {
  return join(directory, name);
}

const MARK = '⟦';

interface Place {
  readonly line: number;
  readonly column: number;
}

function unmarked(marked: string): { readonly text: string; readonly places: readonly Place[] } {
  const places: Place[] = [];
  const lines = marked.split('\n').map((line, index) => {
    let rest = line;
    for (let at = rest.indexOf(MARK); at >= 0; at = rest.indexOf(MARK)) {
      places.push({ line: index + 1, column: at + 1 });
      rest = rest.slice(0, at) + rest.slice(at + MARK.length);
    }
    return rest;
  });
  return { text: lines.join('\n'), places };
}

let files = 0;

/** The faults of a file with this text. The calling test file must have called `useDirectory`. */
export async function faultsOf(
  text: string,
  environment: Record<string, string> = {},
): Promise<readonly ConfigFault[]> {
  files += 1;
  const file = join(directory, `models-${files}.yaml`);
  await writeFile(file, text);
  const loaded = await loadConfig({ file, environment, host: BARE_HOST });
  return loaded.ok ? [] : loaded.error;
}

export interface FaultCase {
  readonly name: string;
  readonly yaml: string;
  /** In the order of the file: `path: problem…` as formatFault writes it behind the position. */
  readonly faults: readonly (string | RegExp)[];
}

/** One test for each case: every fault at its place and in its words, and no other. */
export function testFaultCases(cases: readonly FaultCase[]): void {
  for (const { name, yaml, faults } of cases) {
    test(`refuses ${name}`, async () => {
      const { text, places } = unmarked(yaml);
      const found = await faultsOf(text, { SET: 'x' });
      const shown = found.map((one) => formatFault(one).replace(/^.*models-\d+\.yaml/, ''));
      const expected = places.map(({ line, column }) => `:${line}:${column}`);
      assert.deepEqual(
        shown.map((line) => /^(:\d+:\d+)/.exec(line)?.[1] ?? 'no position'),
        expected,
        shown.join('\n'),
      );
      assert.equal(found.length, faults.length, shown.join('\n'));
      for (const [index, wanted] of faults.entries()) {
        const words = (shown[index] ?? '').replace(/^:\d+:\d+: /, '');
        if (typeof wanted === 'string') assert.equal(words, wanted);
        else assert.match(words, wanted);
      }
    });
  }
}
