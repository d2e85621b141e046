import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DeviceTools, withFallback } from './fallback-tool.ts';

function tools(name: string, isThere: boolean, calls: string[]): DeviceTools {
  return {
    async run(argv) {
      calls.push(`${name} ${argv.join(' ')}`);
      if (!isThere) return { kind: 'missing', detail: 'ENOENT' };
      return { kind: 'exited', code: 0, stdout: name, stderr: '' };
    },
    stream(argv) {
      calls.push(`${name} streams ${argv.join(' ')}`);
      return () => undefined;
    },
  };
}

const handlers = { line: () => undefined, ended: () => undefined };

test('a tool that is there is used, and no stand-in is opened', async () => {
  const calls: string[] = [];
  const both = withFallback(tools('local', true, calls), () => assert.fail('opened'));
  await both.run(['smi'], 1);
  both.stream(['smi'], handlers);
  assert.deepEqual(calls, ['local smi', 'local streams smi']);
});

test('a missing tool is missed once; from then on the stand-in runs and streams', async () => {
  const calls: string[] = [];
  let opened = 0;
  const both = withFallback(tools('local', false, calls), async () => {
    opened += 1;
    return tools('container', true, calls);
  });
  await both.run(['smi'], 1);
  await both.run(['smi'], 1);
  both.stream(['smi'], handlers);
  assert.deepEqual(calls, ['local smi', 'container smi', 'container smi', 'container streams smi']);
  assert.equal(opened, 1);
});

test('without a stand-in the tool stays missing', async () => {
  const calls: string[] = [];
  const none = withFallback(tools('local', false, calls), async () => null);
  assert.equal((await none.run(['smi'], 1)).kind, 'missing');
  assert.equal((await none.run(['smi'], 1)).kind, 'missing');
});
