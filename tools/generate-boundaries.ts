/**
 * Writes the arrows of tools/tidy/arrows.ts into biome.json as overrides, one a folder. `--check` only compares
 * (exit code 1). tools/tidy has the last word: it knows types of ports from code, which biome cannot tell apart.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ARROWS, CONTRACTS, isPure } from './tidy/arrows.ts';

const ROOT = path.dirname(import.meta.dirname);
const FILE = path.join(ROOT, 'biome.json');
const FREE_FILES = ['!**/*.test.ts', '!**/*.fixture.ts', '!**/*-fixtures.ts', '!**/conformance.ts'];

interface Override {
  readonly includes?: readonly string[];
  readonly linter?: { readonly rules?: { readonly style?: { readonly noRestrictedImports?: unknown } } };
}

interface BiomeConfiguration {
  readonly overrides?: readonly Override[];
}

function boundaryOf(folder: string): Override {
  const allowed = ARROWS[folder] ?? [];
  const forbidden = Object.keys(ARROWS).filter(
    (other) => other !== folder && other !== 'core' && !allowed.includes(other),
  );
  const ports = folder === 'core' || isPure(folder) ? [] : CONTRACTS;
  const files = [...allowed.filter((name) => name.endsWith('.ts')), ...ports].filter((file) =>
    forbidden.some((other) => file.startsWith(`${other}/`)),
  );
  const group = [
    ...forbidden.map((other) => `**/${other}/**`),
    ...(isPure(folder) ? ['node:*'] : []),
    ...files.map((file) => `!**/${file}`),
  ];
  const reach = ['core', ...allowed].join(', ');
  const options = {
    patterns: [{ group, message: `src/${folder} may only import ${reach}: see tools/tidy/arrows.ts.` }],
  };
  return {
    includes: [`src/${folder}/**`, ...FREE_FILES],
    linter: { rules: { style: { noRestrictedImports: { level: 'error', options } } } },
  };
}

function isBoundary(override: Override): boolean {
  return override.linter?.rules?.style?.noRestrictedImports !== undefined;
}

const present = readFileSync(FILE, 'utf8');
const configuration: BiomeConfiguration = JSON.parse(present);
const kept = (configuration.overrides ?? []).filter((override) => !isBoundary(override));
const folders = Object.keys(ARROWS).filter((folder) => folder !== 'cli');
const text = JSON.stringify({ ...configuration, overrides: [...kept, ...folders.map(boundaryOf)] });
const wanted = execFileSync(
  path.join(ROOT, 'node_modules', '.bin', 'biome'),
  ['format', '--stdin-file-path=biome.json'],
  { cwd: ROOT, input: text, encoding: 'utf8' },
);
if (wanted !== present) {
  if (process.argv.includes('--check')) {
    console.error('biome.json is stale: run npm run generate');
    process.exitCode = 1;
  } else {
    writeFileSync(FILE, wanted);
    console.log('biome.json written');
  }
}
