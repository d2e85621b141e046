import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { contextFixture, modelFixture } from '../engine-fixtures.ts';
import { hostFiles } from '../host-files.ts';
import { adapterFlags } from './adapter-flags.ts';
import { vllmArgv } from './argv.ts';

const NO_PARSERS = {
  executable: ['vllm'],
  parsers: () => ({ tool: null, reasoning: null }),
  version: () => null,
  contextMib: 0,
};
const HOST = { sharesHost: true };

test('without adapters there is no flag, and a command of its own gets none', () => {
  assert.deepEqual(adapterFlags(modelFixture(), HOST), []);
  assert.deepEqual(adapterFlags(modelFixture({ command: ['x'], adapters: { poet: '/p' } }), HOST), []);
});

test('each adapter is named with its path, and some share a batch', () => {
  const adapters = { poet: '/adapters/poet', org: 'acme/lora' };
  assert.deepEqual(adapterFlags(modelFixture({ adapters }), HOST), [
    ['--enable-lora'],
    ['--max-loras', '2'],
    ['--lora-modules', 'poet=/adapters/poet', 'org=acme/lora'],
  ]);
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`a${index}`, `/a${index}`]));
  assert.deepEqual(adapterFlags(modelFixture({ adapters: many }), HOST)[1], ['--max-loras', '4']);
});

test('names and paths that the short form would split are written as JSON', () => {
  const [, , modules] = adapterFlags(modelFixture({ adapters: { 'a,b': '/x', c: '/y=1' } }), HOST);
  assert.deepEqual(modules?.slice(1), ['{"name":"a,b","path":"/x"}', '{"name":"c","path":"/y=1"}']);
});

test('in a container a folder of this host is named whole, and is one of the files to be mounted', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adapters-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const model = modelFixture({ adapters: { poet: relative(process.cwd(), folder), hub: 'acme/lora' } });
  const [, , modules = []] = adapterFlags(model, { sharesHost: false });
  assert.deepEqual(modules.slice(1), [`poet=${folder}`, 'hub=acme/lora']);
  assert.deepEqual(hostFiles(model, contextFixture({ sharesHost: false }), modules), [folder]);
});

test('the rank is what the largest adapter on this host needs', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adapters-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const adapters: Record<string, string> = { hub: 'acme/lora' };
  for (const [name, rank] of [
    ['small', 8],
    ['large', 40],
  ] as const) {
    adapters[name] = join(folder, name);
    mkdirSync(adapters[name]);
    writeFileSync(join(adapters[name], 'adapter_config.json'), JSON.stringify({ r: rank }));
  }
  assert.deepEqual(adapterFlags(modelFixture({ adapters }), HOST).at(-1), ['--max-lora-rank', '64']);
  const { large: _, ...others } = adapters;
  assert.equal(adapterFlags(modelFixture({ adapters: others }), HOST).length, 3);
});

test('a flag of the user takes the place of ours', () => {
  const model = modelFixture({
    adapters: { poet: '/p' },
    vllm: { ...modelFixture().vllm, extraArgs: ['--max-loras', '8'] },
  });
  const argv = vllmArgv(model, contextFixture(), NO_PARSERS);
  assert.deepEqual(argv.slice(argv.indexOf('--enable-lora')), [
    '--enable-lora',
    '--lora-modules',
    'poet=/p',
    '--max-loras',
    '8',
  ]);
});
