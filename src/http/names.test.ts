import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ResolvedAlias, ResolvedModel } from '../config/resolved-config.ts';
import { modelFixture } from '../engines/engine-fixtures.ts';
import { closestNames, createNameResolver, MODEL_NAME_CHARS_MAX, matchesGlob } from './names.ts';

function model(name: string, more: Partial<ResolvedModel> = {}): ResolvedModel {
  return modelFixture({ name, repo: name, servedName: name, ...more });
}

function resolver(
  models: ResolvedModel[],
  aliases: Partial<ResolvedAlias>[] = [],
  defaultModel: string | null = null,
) {
  return createNameResolver({
    models: new Map(models.map((entry) => [entry.name, entry])),
    aliases: aliases.map((alias) => ({ pattern: '', model: '', requestDefaults: {}, ...alias })),
    defaultModel,
  });
}

function resolved(names: ReturnType<typeof resolver>, name: string | null) {
  const result = names.resolve(name);
  assert(result.kind === 'ok', `${name} was not resolved`);
  return result;
}

describe('resolve', () => {
  it('prefers the exact name, then the exact alias, then the first glob', () => {
    const names = resolver(
      [model('a'), model('b'), model('c'), model('d')],
      [
        { pattern: 'gpt-*', model: 'b' },
        { pattern: '*', model: 'c' },
        { pattern: 'gpt-4', model: 'd' },
        { pattern: 'a', model: 'd' },
      ],
    );
    assert.equal(resolved(names, 'a').model, 'a');
    assert.equal(resolved(names, 'gpt-4').model, 'd');
    assert.equal(resolved(names, 'gpt-5').model, 'b');
    assert.equal(resolved(names, 'whatever').model, 'c');
  });

  it('has no edits for a name that the engine knows too, and renames for every other', () => {
    const names = resolver(
      [model('plain'), model('ours', { servedName: 'theirs' })],
      [
        { pattern: 'theirs', model: 'ours' },
        { pattern: 'other', model: 'plain' },
        { pattern: 'p?ain', model: 'plain' },
      ],
      'plain',
    );
    assert.equal(resolved(names, 'plain').edits, null);
    assert.equal(resolved(names, 'theirs').edits, null);
    assert.equal(resolved(names, 'ours').edits?.model, 'theirs');
    assert.equal(resolved(names, 'other').edits?.model, 'plain');
    assert.equal(resolved(names, 'p-ain').edits?.model, 'plain');
    assert.equal(resolved(names, null).edits?.model, 'plain');
  });

  it("puts the alias' request defaults over the model's and never a model into them", () => {
    const names = resolver(
      [model('m', { requestDefaults: { temperature: 1, top_k: 5, model: 'x' } })],
      [{ pattern: 'cold', model: 'm', requestDefaults: { temperature: 0, model: 'y' } }],
    );
    assert.deepEqual(resolved(names, 'm').requestDefaults, { temperature: 1, top_k: 5 });
    assert.deepEqual(resolved(names, 'cold').requestDefaults, { temperature: 0, top_k: 5 });
    assert.deepEqual(
      resolved(names, 'cold').edits?.defaults.map((member) => member.bytes.toString()),
      ['"temperature":0', '"top_k":5'],
    );
  });

  it("serves an adapter by its model, with the model's defaults and the adapter's name left alone", () => {
    const names = resolver(
      [model('base', { servedName: 'theirs', adapters: { poet: '/p' }, requestDefaults: { top_k: 5 } })],
      [
        { pattern: 'verse', model: 'poet', requestDefaults: { temperature: 0 } },
        { pattern: 'rhyme-*', model: 'poet' },
      ],
    );
    for (const [name, keys] of [
      ['poet', ['top_k']],
      ['verse', ['top_k', 'temperature']],
      ['rhyme-1', ['top_k']],
    ] as const) {
      const found = resolved(names, name);
      assert.deepEqual([found.model, found.servedName, found.isAdapter], ['base', 'poet', true], name);
      assert.equal(found.edits?.model, 'poet');
      assert.deepEqual(
        found.edits?.defaults.map((member) => member.key),
        keys,
      );
    }
    assert.equal(resolved(names, 'base').edits?.model, 'theirs');
    assert.equal(names.splitPath('poet/v1/models')?.name.servedName, 'poet');
  });

  it('refuses requests without a name unless there is a default model', () => {
    assert.deepEqual(resolver([model('m')]).resolve(null), {
      kind: 'fault',
      refusal: { code: 'model_missing', parameters: {} },
    });
  });

  it('names the closest models for an unknown one', () => {
    const names = resolver([model('llama-3.1-8b'), model('qwen2.5-7b'), model('org/SmolLM2-135M')]);
    const hintFor = (name: string): unknown => {
      const result = names.resolve(name);
      assert(result.kind === 'fault');
      assert.equal(result.refusal.code, 'model_not_found');
      return result.refusal.parameters.hint;
    };
    assert.equal(hintFor('llama-3.1-8B'), ' Did you mean `llama-3.1-8b`?');
    assert.equal(hintFor('smollm2-135m'), ' Did you mean `org/SmolLM2-135M`?');
    assert.equal(hintFor('text-davinci-003'), '');
    assert.equal(hintFor(''), '');
  });

  it('bounds the work and the echo for names of any length', () => {
    const names = resolver([model('m')], [{ pattern: '*', model: 'm' }]);
    const result = names.resolve('x'.repeat(10_000_000));
    assert(result.kind === 'fault');
    assert.equal(String(result.refusal.parameters.model).length, 101);
    assert.equal(resolved(names, 'x'.repeat(MODEL_NAME_CHARS_MAX)).model, 'm');
  });

  it('is not fooled by names of object properties', () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      assert.equal(resolver([model('m')]).resolve(name).kind, 'fault');
    }
  });
});

describe('splitPath', () => {
  const names = resolver(
    [model('org'), model('org/m'), model('org/m/v1'), model('plain'), model('100%')],
    [
      { pattern: 'alias/x', model: 'plain' },
      { pattern: 'gl?b-*', model: 'plain' },
    ],
  );

  it('takes the longest known name, with raw or encoded slashes', () => {
    const cases: [string, string, string][] = [
      ['plain/v1/chat', 'plain', '/v1/chat'],
      ['org/x', 'org', '/x'],
      ['org/m/x%2Fy', 'org/m', '/x%2Fy'],
      ['org%2Fm/x', 'org/m', '/x'],
      ['org/m%2fv1/models', 'org/m/v1', '/models'],
      ['org/m/v1/models', 'org/m/v1', '/models'],
      ['alias/x/v1', 'plain', '/v1'],
      ['glob-1/v1', 'plain', '/v1'],
      ['100%25/v1', '100%', '/v1'],
      ['plain', 'plain', ''],
      ['plain/', 'plain', '/'],
    ];
    for (const [path, name, rest] of cases) {
      const split = names.splitPath(path);
      assert.deepEqual([split?.name.model, split?.rest], [name, rest], path);
    }
  });

  it('knows no name in other paths', () => {
    for (const path of ['', '/', 'unknown/v1', 'pla%69/v1', '%zz/v1', 'org%2', '/plain']) {
      assert.equal(names.splitPath(path), null, path);
    }
  });
});

describe('matchesGlob', () => {
  it('agrees with the same pattern as a regular expression', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 12 });
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, letters, (glob, name) => {
        const source = glob.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
        return matchesGlob(glob, name) === new RegExp(`^${source}$`).test(name);
      }),
      { numRuns: 5000 },
    );
  });

  it('ends on patterns that make backtracking matchers explode', () => {
    assert.equal(matchesGlob('*a'.repeat(40), 'a'.repeat(MODEL_NAME_CHARS_MAX - 1)), true);
    assert.equal(matchesGlob(`${'*a'.repeat(40)}b`, 'a'.repeat(MODEL_NAME_CHARS_MAX)), false);
  });
});

describe('closestNames', () => {
  it('gives at most three names, nearest first', () => {
    assert.deepEqual(closestNames('model-1', ['model-1x', 'model-2yy', 'model-2', 'model-3', 'zzz']), [
      'model-1x',
      'model-2',
      'model-3',
    ]);
  });
});
