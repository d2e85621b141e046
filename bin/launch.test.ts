import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const LAUNCH = path.join(import.meta.dirname, 'launch.mjs');
const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

function makeFolder(files: Record<string, string>): string {
  const root = mkdtempSync(path.join(tmpdir(), 'launch-'));
  roots.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  }
  return root;
}

const BIN = `import { launch } from ${JSON.stringify(LAUNCH)}; await launch(import.meta.url, 'cli/main');`;
const SAY = (what: string) => `console.log('${what}', ...process.argv.slice(2));`;

function runBin(root: string): string {
  return execFileSync(process.execPath, [path.join(root, 'bin', 'x.mjs'), 'a', '--b'], {
    encoding: 'utf8',
  }).trim();
}

test('a checkout runs src/, even when a build lies beside it', () => {
  const checkout = {
    'package.json': '{"type":"module"}',
    'bin/x.mjs': BIN,
    'src/cli/main.ts': `const s: string = 'source'; console.log(s, ...process.argv.slice(2));`,
  };
  assert.equal(runBin(makeFolder(checkout)), 'source a --b');
  assert.equal(runBin(makeFolder({ ...checkout, 'dist/cli/main.js': SAY('build') })), 'source a --b');
});

test('a package without src/ runs dist/', () => {
  const root = makeFolder({
    'package.json': '{"type":"module"}',
    'bin/x.mjs': BIN,
    'dist/cli/main.js': SAY('build'),
  });
  assert.equal(runBin(root), 'build a --b');
});

test('the minimum is 22.18', () => {
  const versions = ['18.20.0', '20.20.2', '22.17.9', '22.18.0', '23.0.0', '24.21.0'];
  const code = `import { isNewEnough } from ${JSON.stringify(LAUNCH)};
    console.log(JSON.stringify(${JSON.stringify(versions)}.filter(isNewEnough)));`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(output), ['22.18.0', '23.0.0', '24.21.0']);
});

/** A launcher that takes this Node for the newer one, and a program that reports signals until it is told to go. */
function startRelaunched(program: string): ChildProcess {
  const root = makeFolder({
    'launcher.mjs': `import { relaunch } from ${JSON.stringify(LAUNCH)};
      relaunch(process.execPath, process.argv[2], ['x']);`,
    'program.mjs': program,
  });
  return spawn(process.execPath, [path.join(root, 'launcher.mjs'), path.join(root, 'program.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function collect(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  return text;
}

/** Resolves when the program has written `ready`; fails when it ends before. */
async function isReady(child: ChildProcess): Promise<void> {
  const stdout = child.stdout;
  assert.ok(stdout !== null);
  for (;;) {
    const [chunk] = (await once(stdout, 'data')) as [Buffer];
    if (chunk.toString().includes('ready')) return;
  }
}

test('the exit code of the relaunched program is the launcher’s', async () => {
  const child = startRelaunched('process.exit(process.argv[2] === "x" ? 7 : 1);');
  await collect(child);
  assert.equal(child.exitCode, 7);
});

test('a program that dies of a signal takes the launcher the same way', async () => {
  const child = startRelaunched('process.kill(process.pid, "SIGKILL");');
  await collect(child);
  assert.equal(child.signalCode, 'SIGKILL');
});

const COUNTING = `let count = 0;
  const timer = setInterval(() => {}, 1000);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {
    count += 1;
    setTimeout(() => { console.log(signal, count); clearInterval(timer); process.exitCode = 3; }, 200);
  });
  console.log('ready');`;

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`${signal} reaches the relaunched program once`, async () => {
    const child = startRelaunched(COUNTING);
    const output = collect(child);
    await isReady(child);
    child.kill(signal);
    assert.match(await output, new RegExp(`${signal} 1\n$`));
    assert.equal(child.exitCode, 3);
  });
}

test('the end of a killed launcher is noticed by the program', async () => {
  const code = `const channel = process.channel; process.once('disconnect', () => { console.log('alone'); process.exit(); });
    channel.ref(); console.log('ready');`;
  const child = startRelaunched(code);
  const output = collect(child);
  await isReady(child);
  child.kill('SIGKILL');
  assert.match(await output, /alone/);
});
