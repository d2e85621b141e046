import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { runSuite } from './run-suite.ts';
import { findSuite, listTestFiles, SUITES, type Suite, selectFiles } from './suites.ts';

const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

const IMPORTS = `import assert from 'node:assert'; import { test } from 'node:test';\n`;

async function runFiles(files: Record<string, string>, overrides: Partial<Suite> = {}) {
  const root = mkdtempSync(path.join(tmpdir(), 'rt-'));
  roots.push(root);
  mkdirSync(path.join(root, 'test'));
  writeFileSync(path.join(root, 'package.json'), '{"type":"module"}');
  for (const [name, code] of Object.entries(files))
    writeFileSync(path.join(root, 'test', name), IMPORTS + code);
  const suite: Suite = {
    name: 'trial',
    prefixes: ['test/'],
    concurrency: 2,
    fileTimeoutMs: 60_000,
    isLive: false,
    ...overrides,
  };
  const lines: string[] = [];
  const isPassed = await runSuite(root, suite, [], (text) => lines.push(text));
  return { isPassed, output: lines.join('\n') };
}

test('passing tests pass, and the summary counts them', async () => {
  const { isPassed, output } = await runFiles({
    'one.test.ts': `test('a', () => assert.ok(true)); test('b', { skip: 'no device' }, () => {});`,
    'two.test.ts': `const n: number = 1; test('c', () => assert.equal(n, 1));`,
  });
  assert.equal(isPassed, true);
  assert.match(output, /^# tests 3$/m);
  assert.match(output, /^# pass 2$/m);
  assert.match(output, /^# fail 0$/m);
  assert.match(output, /skipped: b: no device/);
});

test('a failing test fails the run and shows its place, its error and what the file printed', async () => {
  const { isPassed, output } = await runFiles({
    'bad.test.ts': `test('sums', () => { console.log('a trace'); assert.equal(1 + 1, 3); });`,
  });
  assert.equal(isPassed, false);
  assert.match(output, /FAIL test\/bad\.test\.ts:2: sums/);
  assert.match(output, /2 == 3/);
  assert.match(output, /a trace/);
  assert.match(output, /^# fail 1$/m);
});

test('a file that cannot be loaded, has no test, or exits early fails the run', async () => {
  const { isPassed, output } = await runFiles({
    'broken.test.ts': `import 'package-that-is-nowhere';`,
    'empty.test.ts': `assert.ok(test);`,
    'leaves.test.ts': `test('a', () => {}); process.exit(0);`,
  });
  assert.equal(isPassed, false);
  assert.match(output, /^# fail 3$/m);
});

test('a file that does not end is killed and fails the run', async () => {
  const { isPassed, output } = await runFiles(
    { 'open.test.ts': `test('a', () => {}); setInterval(() => {}, 1000);` },
    { fileTimeoutMs: 1_500 },
  );
  assert.equal(isPassed, false);
  assert.match(output, /killed after 1\.5 s/);
});

test('a process left behind is ended and fails the run', async () => {
  const { isPassed, output } = await runFiles({
    'left.test.ts': `import { spawn } from 'node:child_process';
      test('a', () => { const c = spawn('sleep', ['60'], { stdio: 'ignore' }); c.unref(); console.log('pid', c.pid); });`,
  });
  assert.equal(isPassed, false);
  assert.match(output, /left processes behind/);
  const pid = Number(/pid (\d+)/.exec(output)?.[1]);
  assert.ok(pid > 0);
  await until(() => isGone(pid));
});

test('a run without any test file fails', async () => {
  const { isPassed, output } = await runFiles({});
  assert.equal(isPassed, false);
  assert.match(output, /No test file/);
});

test('the fast suite holds every test file that no slow one owns, and each file is in one suite', () => {
  const root = path.dirname(path.dirname(import.meta.dirname));
  const all = listTestFiles(root);
  const fast = findSuite('fast');
  const vllm = findSuite('vllm');
  const hosts = findSuite('hosts');
  assert.ok(fast !== undefined && vllm !== undefined && hosts !== undefined);
  const files = [
    ...all,
    'test/vllm/x.test.ts',
    'test/contract/contract-real.test.ts',
    'test/contract/contract.test.ts',
  ];
  const fastFiles = selectFiles(files, fast, []);
  const vllmFiles = selectFiles(files, vllm, []);
  const hostsFiles = selectFiles(files, hosts, []);
  const suiteSizes = SUITES.map((suite) => selectFiles(files, suite, []).length);
  assert.ok(fastFiles.includes('tools/run-tests/run-tests.test.ts'));
  assert.ok(fastFiles.includes('test/contract/contract.test.ts'));
  assert.ok(vllmFiles.includes('test/vllm/x.test.ts'));
  assert.ok(vllmFiles.includes('test/contract/contract-real.test.ts'));
  assert.ok(hostsFiles.includes('test/hosts/hosts.test.ts'));
  assert.equal(
    suiteSizes.reduce((sum, size) => sum + size, 0),
    files.length,
  );
  assert.deepEqual(selectFiles(files, fast, ['run-tests/']), ['tools/run-tests/run-tests.test.ts']);
});

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, 'did not happen within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
