/** The gates in the order in which `npm run check` asks them: quick ones first. */
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type Gate, nodeSucceeds, ROOT } from './gate.ts';
import { checkPacked } from './pack.ts';

const BIOME = 'node_modules/@biomejs/biome/bin/biome';
const TSC = 'node_modules/typescript/bin/tsc';

function generators(): string[] {
  return readdirSync(path.join(ROOT, 'tools'))
    .filter((name) => /^generate-.*\.ts$/.test(name) && !name.endsWith('.test.ts'))
    .map((name) => `tools/${name}`)
    .sort();
}

async function runGenerators(args: readonly string[]): Promise<boolean> {
  let isPassed = true;
  for (const generator of generators()) isPassed = (await nodeSucceeds(generator, args)) && isPassed;
  return isPassed;
}

async function build(): Promise<boolean> {
  // A file that was deleted from src/ must not live on in the package.
  rmSync(path.join(ROOT, 'dist'), { recursive: true, force: true });
  return nodeSucceeds(TSC, ['-p', 'tsconfig.build.json']);
}

export const GATES: readonly Gate[] = [
  {
    name: 'lint',
    question: 'Format, lint and import boundaries (biome)',
    run: () => nodeSucceeds(BIOME, ['check']),
  },
  {
    name: 'types',
    question: 'Types of everything, and of the pure folders without any of Node’s',
    run: async () => {
      const isWhole = await nodeSucceeds(TSC, ['-p', 'tsconfig.json']);
      return (await nodeSucceeds(TSC, ['-p', 'tsconfig.purity.json'])) && isWhole;
    },
  },
  { name: 'tidy', question: 'Conventions (tools/tidy)', run: () => nodeSucceeds('tools/tidy/main.ts') },
  {
    name: 'knip',
    question: 'Dead files, exports and dependencies',
    run: () => nodeSucceeds('node_modules/knip/bin/knip.js'),
  },
  {
    name: 'generated',
    question: 'Generated files agree with their sources',
    run: () => runGenerators(['--check']),
  },
  {
    name: 'test',
    question: 'The fast test suite',
    run: () => nodeSucceeds('tools/run-tests/main.ts', ['fast']),
  },
  { name: 'pack', question: 'The packed package installs and runs', run: checkPacked },
];

/** Not questions: they change files. */
export const TASKS: readonly Gate[] = [
  { name: 'generate', question: 'Write the generated files', run: () => runGenerators([]) },
  { name: 'build', question: 'Compile src/ to dist/', run: build },
  {
    name: 'format',
    question: 'Format and fix what is safe to fix',
    run: () => nodeSucceeds(BIOME, ['check', '--write']),
  },
];
