import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFiles, completeness, neededIndex, type WeightFormat } from './file-choice.ts';

function files(...paths: string[]) {
  return paths.map((path) => ({ path, sizeBytes: 10 }));
}

function chosen(format: WeightFormat, paths: readonly string[], index: readonly string[] | null = null) {
  const text = index === null ? null : JSON.stringify({ weight_map: Object.fromEntries(index.entries()) });
  const list = chooseFiles(files(...paths), { kind: 'model', format }, text);
  return list.map(({ path }) => path);
}

test('one packing of weights, in the order in which vLLM prefers them', () => {
  const all = ['consolidated.safetensors', 'model.safetensors', 'pytorch_model.bin', 'model.pt'];
  assert.deepEqual(chosen('auto', all), ['model.safetensors']);
  assert.deepEqual(chosen('auto', ['consolidated.safetensors', 'pytorch_model.bin']), [
    'consolidated.safetensors',
  ]);
  assert.deepEqual(chosen('auto', ['pytorch_model.bin', 'training_args.bin', 'model.pt']), [
    'pytorch_model.bin',
  ]);
  assert.deepEqual(chosen('auto', ['model.pt', 'optimizer.pt']), ['model.pt']);
  assert.deepEqual(chosen('mistral', all), ['consolidated.safetensors']);
  assert.deepEqual(chosen('bin', all), ['pytorch_model.bin']);
  assert.deepEqual(chosen('pt', all), ['model.pt']);
  assert.deepEqual(chosen('none', all), []);
  assert.deepEqual(chosen('all_safetensors', all), ['consolidated.safetensors', 'model.safetensors']);
});

test('an index says which weights count', () => {
  const paths = ['model.safetensors.index.json', 'a.safetensors', 'b.safetensors', 'adapter.safetensors'];
  assert.equal(neededIndex(files(...paths), { kind: 'model', format: 'auto' }), paths[0]);
  assert.deepEqual(chosen('auto', paths, ['a.safetensors', 'b.safetensors']), paths.slice(0, 3));
  const bins = ['pytorch_model.bin.index.json', 'pytorch_model-00001-of-00001.bin'];
  assert.equal(neededIndex(files(...bins), { kind: 'model', format: 'auto' }), bins[0]);
  assert.equal(neededIndex(files('model.safetensors'), { kind: 'model', format: 'auto' }), null);
});

test('configuration, tokenizer, templates and code of all kinds; nothing of other programs', () => {
  const wanted = [
    'config.json',
    'params.json',
    'tekken.json',
    'tokenizer.model.v3',
    'merges.txt',
    'qwen.tiktoken',
    'configuration_x.py',
    'additional_chat_templates/tool_use.jinja',
    '1_Pooling/config.json',
    '2_Dense/model.safetensors',
    'preprocessor_config.json',
    'LICENSE',
  ];
  const others = [
    '.gitattributes',
    'onnx/config.json',
    'original/params.json',
    'openvino/openvino_model.xml',
    'checkpoint-100/config.json',
    'tf_model.h5',
    'flax_model.msgpack',
    'model.onnx_data',
    'coreml/x.mlmodel',
    'picture.png',
    'small.gguf',
    '2_Dense/pytorch_model.bin',
    'rust_model.ot',
  ];
  assert.deepEqual(
    new Set(chosen('auto', [...wanted, ...others, 'model.safetensors'])),
    new Set([...wanted, 'model.safetensors']),
  );
});

test('a large file that is no vocabulary is left where it is', () => {
  const list = [
    { path: 'tokenizer.json', sizeBytes: 40_000_000 },
    { path: 'training.log', sizeBytes: 40_000_000 },
    { path: 'model.safetensors', sizeBytes: 5 },
  ];
  const paths = chooseFiles(list, { kind: 'model', format: 'auto' }, null).map(({ path }) => path);
  assert.deepEqual(paths, ['tokenizer.json', 'model.safetensors']);
});

test('a packing is that of the model, not that of its projector, and no variant where there is the plain one', () => {
  const chosenFor = (word: string, ...paths: string[]) =>
    chooseFiles(files(...paths), { kind: 'gguf', choice: { kind: 'packing', word } }, null).map(
      ({ path }) => path,
    );
  const paths = [
    'mmproj-Q8_0.gguf',
    'imatrix-Q8_0.gguf',
    'x-UD-Q8_0.gguf',
    'x.mmproj-Q8_0.gguf',
    'x-Q8_0.gguf',
  ];
  assert.deepEqual(chosenFor('Q8_0', ...paths), ['x-Q8_0.gguf']);
  assert.deepEqual(chosenFor('UD-Q8_0', ...paths), ['x-UD-Q8_0.gguf']);
  assert.throws(() => chosenFor('Q8_0', 'mmproj-Q8_0.gguf'), /no GGUF file for Q8_0/);
  const gguf = { kind: 'gguf', choice: { kind: 'packing', word: 'Q8_0' } } as const;
  assert.equal(completeness(files('mmproj-Q8_0.gguf'), gguf, null).kind, 'missing');
});

test('completeness by names', () => {
  const model = { kind: 'model', format: 'auto' } as const;
  const judge = (...paths: string[]) => completeness(files(...paths), model, null);
  assert.deepEqual(judge('config.json', 'model.safetensors', 'tokenizer.json'), { kind: 'complete' });
  assert.deepEqual(judge('config.json', 'model.safetensors'), { kind: 'doubtful' });
  assert.deepEqual(judge('model.safetensors'), { kind: 'missing', what: 'config.json' });
  assert.deepEqual(judge('config.json'), { kind: 'missing', what: 'weights' });
  assert.deepEqual(judge('config.json', 'tokenizer.json', 'model-00001-of-00002.safetensors'), {
    kind: 'missing',
    what: 'model-00002-of-00002.safetensors',
  });
  const parts = { kind: 'gguf', choice: { kind: 'packing', word: 'Q4_0' } } as const;
  assert.deepEqual(completeness(files('x-Q4_0-00001-of-00002.gguf'), parts, null), {
    kind: 'missing',
    what: 'x-Q4_0-00002-of-00002.gguf',
  });
  assert.deepEqual(completeness([], parts, null), { kind: 'missing', what: 'the GGUF file' });
  assert.deepEqual(completeness(files('adapter_config.json'), { kind: 'adapter' }, null), {
    kind: 'missing',
    what: 'adapter_model.safetensors',
  });
});
