import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const SETUP = path.join(import.meta.dirname, 'setup.mjs');
const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

/** Does what `npm ci` does to node_modules, counts its calls, and takes long enough for a second one to collide. */
const FAKE_NPM = `#!/bin/sh
echo "$@" >> npm-calls
rm -rf node_modules
sleep 0.3
[ -f npm-fails ] && exit 1
mkdir -p node_modules/node/bin
touch node_modules/node/bin/node
`;

function makeCheckout(): string {
  const root = mkdtempSync(path.join(tmpdir(), 'setup-'));
  roots.push(root);
  mkdirSync(path.join(root, 'path'));
  writeFileSync(path.join(root, 'path', 'npm'), FAKE_NPM);
  chmodSync(path.join(root, 'path', 'npm'), 0o755);
  writeFileSync(path.join(root, 'package.json'), JSON.stringify({ bin: { tool: 'bin/tool.mjs' } }));
  writeFileSync(path.join(root, 'package-lock.json'), '{"packages":{}}');
  return root;
}

async function setUp(root: string): Promise<{ code: number | null; errors: string }> {
  const environment: NodeJS.ProcessEnv = { ...process.env, PATH: `${path.join(root, 'path')}:/usr/bin:/bin` };
  delete environment.npm_execpath;
  const code = `import { setUp } from ${JSON.stringify(SETUP)}; await setUp(${JSON.stringify(root)});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { code: exitCode, errors };
}

function npmCalls(root: string): string[] {
  return readFileSync(path.join(root, 'npm-calls'), 'utf8').trim().split('\n');
}

test('the first setup installs and links, the second does nothing, a changed lock file installs again', async () => {
  const root = makeCheckout();
  assert.equal((await setUp(root)).code, 0);
  assert.equal(readlinkSync(path.join(root, 'node_modules', '.bin', 'tool')), '../../bin/tool.mjs');
  assert.equal((await setUp(root)).code, 0);
  assert.equal(npmCalls(root).length, 1);
  assert.match(npmCalls(root)[0] ?? '', /^ci --include=dev/);
  writeFileSync(
    path.join(root, 'package-lock.json'),
    '{"packages":{"":{},"node_modules/a":{"integrity":"x"}}}',
  );
  assert.equal((await setUp(root)).code, 0);
  assert.equal(npmCalls(root).length, 2);
});

test('of two setups at once one installs and both succeed', async () => {
  const root = makeCheckout();
  const results = await Promise.all([setUp(root), setUp(root), setUp(root)]);
  assert.deepEqual(
    results.map((result) => result.code),
    [0, 0, 0],
  );
  assert.equal(npmCalls(root).length, 1);
});

test('a failed installation is reported and tried again', async () => {
  const root = makeCheckout();
  writeFileSync(path.join(root, 'npm-fails'), '');
  const failed = await setUp(root);
  assert.notEqual(failed.code, 0);
  assert.match(failed.errors, /npm ci .*failed with 1/);
  rmSync(path.join(root, 'npm-fails'));
  assert.equal((await setUp(root)).code, 0);
  assert.equal(npmCalls(root).length, 2);
});

test('the lock of a setup that died is taken over', async () => {
  const root = makeCheckout();
  const dead = spawn(process.execPath, ['-e', '']);
  await once(dead, 'exit');
  writeFileSync(path.join(root, '.setup.lock'), String(dead.pid));
  assert.equal((await setUp(root)).code, 0);
  assert.equal(npmCalls(root).length, 1);
});

test('what npm itself installed by hand is accepted as it is', async () => {
  const root = makeCheckout();
  const packages = { '': {}, 'node_modules/node': { integrity: 'a' }, 'node_modules/b': { optional: true } };
  writeFileSync(path.join(root, 'package-lock.json'), JSON.stringify({ packages }));
  mkdirSync(path.join(root, 'node_modules', 'node', 'bin'), { recursive: true });
  writeFileSync(path.join(root, 'node_modules', 'node', 'bin', 'node'), '');
  const present = { 'node_modules/node': { integrity: 'a' } };
  writeFileSync(path.join(root, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: present }));
  writeFileSync(path.join(root, 'npm-calls'), '');
  assert.equal((await setUp(root)).code, 0);
  assert.deepEqual(npmCalls(root), ['']);
});
