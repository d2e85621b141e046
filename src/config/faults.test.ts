/**
 * Every fault at its exact place. In each text `⟦` marks where a fault must be reported; the marks are taken out before the
 * text is read, so a position in this table cannot drift from what a reader of the table sees.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ConfigFault, formatFault } from './fault.ts';
import { loadConfig } from './load.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gateway-config-'));
});
after(() => rm(directory, { recursive: true }));

const MARK = '⟦';

interface Place {
  readonly line: number;
  readonly column: number;
}

function unmarked(marked: string): { readonly text: string; readonly places: readonly Place[] } {
  const places: Place[] = [];
  const lines = marked.split('\n').map((line, index) => {
    let rest = line;
    for (let at = rest.indexOf(MARK); at >= 0; at = rest.indexOf(MARK)) {
      places.push({ line: index + 1, column: at + 1 });
      rest = rest.slice(0, at) + rest.slice(at + MARK.length);
    }
    return rest;
  });
  return { text: lines.join('\n'), places };
}

let files = 0;

async function faultsOf(
  text: string,
  environment: Record<string, string> = {},
): Promise<readonly ConfigFault[]> {
  files += 1;
  const file = join(directory, `models-${files}.yaml`);
  await writeFile(file, text);
  const loaded = await loadConfig({ file, environment });
  return loaded.ok ? [] : loaded.error;
}

interface Case {
  readonly name: string;
  readonly yaml: string;
  /** In the order of the file: `path: problem…` as formatFault writes it behind the position. */
  readonly faults: readonly (string | RegExp)[];
}

const CASES: readonly Case[] = [
  {
    name: 'a tab where YAML wants spaces',
    yaml: 'models:\n⟦\tqwen: {repo: x}\n',
    faults: [/not valid YAML: .*[Tt]ab/],
  },
  {
    name: 'an unclosed list',
    yaml: 'models:\n  qwen: {repo: x}\npools: {a: [1\n⟦⟦',
    faults: [/not valid YAML/, /not valid YAML/],
  },
  {
    name: 'a key that stands twice',
    yaml: 'models:\n  qwen:\n    repo: x\n    ⟦repo: y\n',
    faults: ['models.qwen.repo: the key stands twice in this mapping'],
  },
  {
    name: 'a model that stands twice',
    yaml: 'models:\n  qwen: {repo: x}\n  ⟦qwen: {repo: y}\n',
    faults: ['models.qwen: the key stands twice in this mapping'],
  },
  {
    name: 'an alias without its anchor',
    yaml: 'models:\n  qwen: ⟦*nothing\n',
    faults: [/anchor/],
  },
  {
    name: 'a number that is none',
    yaml: 'models:\n  qwen:\n    repo: x\n    max_num_seqs: ⟦.nan\n',
    faults: ['models.qwen.max_num_seqs: neither text, nor a finite number, a boolean or null'],
  },
  {
    name: 'a list as a key',
    yaml: 'models:\n  ⟦[a, b]: {repo: x}\n',
    faults: ['models: a key must be plain text'],
  },
  {
    name: 'a list at the top',
    yaml: '⟦- models\n',
    faults: ['not acceptable; found a list; allowed: a mapping with `models`'],
  },
  {
    name: 'no models',
    yaml: '⟦server: {port: 1}\n',
    faults: ['models: must be given; allowed: a mapping from model name to its keys'],
  },
  { name: 'models without one', yaml: '⟦models: {}\n', faults: ['models: at least one model must be given'] },
  {
    name: 'a misspelt key of a model',
    yaml: 'models:\n  qwen:\n    repo: x\n    ⟦max_num_seq: 3\n',
    faults: [/^models\.qwen\.max_num_seq: unknown key; allowed: repo, .*; did you mean `max_num_seqs`\?$/],
  },
  {
    name: 'a misspelt key with nothing behind it',
    yaml: 'models: {qwen: {repo: x}}\n⟦serverr:\n',
    faults: [/^serverr: unknown key; .* did you mean `server`\?$/],
  },
  {
    name: 'a key that resembles none',
    yaml: 'models:\n  qwen:\n    repo: x\n    ⟦zzzzzzzzzz: 3\n',
    faults: [/^models\.qwen\.zzzzzzzzzz: unknown key; allowed: repo, [^?]*$/],
  },
  {
    name: 'the wrong kinds of values, all at once',
    yaml: [
      'models:',
      '  qwen:',
      '    repo: ⟦3',
      '    max_num_seqs: ⟦many',
      '    always_on: ⟦maybe',
      '    gpu_memory_utilization: ⟦1.5',
      '    load_timeout: ⟦5 weeks',
      '    memory_mib: ⟦24GB',
      '    extra_args: [ok, ⟦{a: 1}]',
      '    environment: {⟦a b: c}',
      '    request_defaults: ⟦[]',
      '',
    ].join('\n'),
    faults: [
      'models.qwen.repo: not acceptable; found 3; allowed: a Hugging Face id, a local path or a GGUF',
      'models.qwen.max_num_seqs: not acceptable; found "many"; allowed: an integer from 1 to 65536',
      'models.qwen.always_on: not acceptable; found "maybe"; allowed: true or false',
      'models.qwen.gpu_memory_utilization: not acceptable; found 1.5; allowed: a number above 0, at most 1',
      'models.qwen.load_timeout: not acceptable; found "5 weeks"; allowed: seconds as a number (more than 0), or text such as "500ms", "90s", "5m", "1h"',
      'models.qwen.memory_mib: not acceptable; found "24GB"; allowed: MiB as a number above 0, or text such as "512MiB", "24GiB", "1.5TiB"',
      'models.qwen.extra_args[1]: not acceptable; found a mapping; allowed: text or a number',
      'models.qwen.environment["a b"]: the key is not acceptable; allowed: variable names',
      'models.qwen.request_defaults: not acceptable; found an empty list; allowed: a mapping',
    ],
  },
  {
    name: 'durations and sizes out of range',
    yaml: [
      'models:',
      '  a: {repo: x, load_timeout: ⟦0s, queue_timeout: ⟦0, drain_timeout: ⟦999999d, inactivity_timeout: 0}',
      '  b: {repo: x, memory_mib: ⟦0GiB}',
      '  c: {repo: x, memory_mib: ⟦-5}',
      '',
    ].join('\n'),
    faults: [
      /^models\.a\.load_timeout: not acceptable; found "0s"/,
      /^models\.a\.queue_timeout: not acceptable; found 0/,
      /^models\.a\.drain_timeout: not acceptable; found "999999d"/,
      /^models\.b\.memory_mib: not acceptable; found "0GiB"/,
      /^models\.c\.memory_mib: not acceptable; found -5/,
    ],
  },
  {
    name: 'a misspelt choice',
    yaml: 'models: {qwen: {repo: x, memory_mib: 1}}\nscheduling:\n  placement_mode: ⟦budgett\n',
    faults: [
      'scheduling.placement_mode: not acceptable; found "budgett"; allowed: one of whole_card, budget; did you mean `budget`?',
    ],
  },
  {
    name: 'a model that is no mapping',
    yaml: 'models:\n  qwen: ⟦Qwen/Qwen2.5\n',
    faults: [
      'models.qwen: not acceptable; found "Qwen/Qwen2.5"; allowed: a mapping with `repo`, `command` or `url`',
    ],
  },
  {
    name: 'a model name with white space',
    yaml: 'models:\n  ⟦my model: {repo: x}\n',
    faults: [
      'models["my model"]: the key is not acceptable; allowed: a name of 1 to 256 printable characters without white space',
    ],
  },
  {
    name: 'schema faults and rules across fields in one report',
    yaml: 'models:\n  qwen:\n    ⟦repoo: x\n  other: {repo: y, pool: ⟦none}\ndefault_model: ⟦qven\n',
    faults: [
      /^models\.qwen\.repoo: unknown key/,
      'models.other.pool: no such pool; found "none"; allowed: none: no pools are configured',
      'default_model: no such model; found "qven"; allowed: qwen, other; did you mean `qwen`?',
    ],
  },
  {
    name: 'an unknown pool',
    yaml: 'pools: {big: [a], small: [b]}\nmodels:\n  qwen:\n    repo: x\n    pool: ⟦bigg\n',
    faults: ['models.qwen.pool: no such pool; found "bigg"; allowed: big, small; did you mean `big`?'],
  },
  {
    name: 'several pools and none named',
    yaml: 'pools: {big: [a], small: [b]}\nmodels:\n  ⟦qwen: {repo: x}\n',
    faults: ['models.qwen: there are several pools: `pool` must name one; allowed: big, small'],
  },
  {
    name: 'a pool without devices',
    yaml: 'pools: {big: ⟦[]}\nmodels: {qwen: {repo: x}}\n',
    faults: ['pools.big: not acceptable; found an empty list; allowed: at least one device id'],
  },
  {
    name: 'a device in two pools',
    yaml: 'pools: {big: [a], small: [⟦a]}\nmodels: {qwen: {repo: x, pool: big}}\n',
    faults: ['pools.small[0]: this device stands in pool `big` already; found "a"'],
  },
  {
    name: 'an alias to an unknown model',
    yaml: 'models: {qwen: {repo: x}}\naliases:\n  gpt: ⟦qwem\n  "gpt-*": {model: ⟦gpt}\n',
    faults: [
      'aliases.gpt: no such model; found "qwem"; allowed: qwen; did you mean `qwen`?',
      'aliases["gpt-*"].model: this is an alias, and a model is needed; found "gpt"; allowed: qwen',
    ],
  },
  {
    name: 'an alias that hides a model',
    yaml: 'models: {qwen: {repo: x}, other: {repo: y}}\naliases: {⟦other: qwen}\n',
    faults: ['aliases.other: this alias hides a model of the same name'],
  },
  {
    name: 'an alias of the wrong shape',
    yaml: 'models: {qwen: {repo: x}}\naliases:\n  a: ⟦3\n  ⟦b: {⟦modell: qwen}\n',
    faults: [
      'aliases.a: not acceptable; found 3; allowed: the name of a model, or a mapping with `model`',
      'aliases.b.model: must be given; allowed: the name of a model',
      'aliases.b.modell: unknown key; allowed: model, request_defaults; did you mean `model`?',
    ],
  },
  {
    name: 'more devices than the pool has',
    yaml: 'pools: {big: [a, b]}\nmodels:\n  qwen: {repo: x, tensor_parallel_size: ⟦4}\n',
    faults: [
      'models.qwen.tensor_parallel_size: model `qwen` needs more devices than its pool has; found 4; allowed: at most 2',
    ],
  },
  {
    name: 'more devices than are simulated',
    yaml: 'devices: {simulated: [{id: a, memory_mib: 1GiB}]}\nmodels:\n  s: {engine: simulated, tensor_parallel_size: ⟦2}\n',
    faults: [/^models\.s\.tensor_parallel_size: model `s` needs more devices/],
  },
  {
    name: 'more KV sequences than sequences, inherited by two models',
    yaml: 'defaults:\n  max_num_seqs: 4\n  kv_reservation_seqs: ⟦8\nmodels: {a: {repo: x}, b: {repo: y}}\n',
    faults: [
      'defaults.kv_reservation_seqs: larger than `max_num_seqs` of model `a`; found 8; allowed: 1 to 4',
    ],
  },
  {
    name: 'request_defaults with a model, everywhere',
    yaml: [
      'defaults: {request_defaults: {model: ⟦x}}',
      'models:',
      '  qwen:',
      '    repo: x',
      '    request_defaults:',
      '      model: ⟦y',
      'aliases: {a: {model: qwen, request_defaults: {model: ⟦z}}}',
      '',
    ].join('\n'),
    faults: [
      'defaults.request_defaults.model: request_defaults may not set `model`',
      'models.qwen.request_defaults.model: request_defaults may not set `model`',
      'aliases.a.request_defaults.model: request_defaults may not set `model`',
    ],
  },
  {
    name: 'flags that the gateway manages',
    yaml: [
      'models:',
      '  qwen:',
      '    repo: x',
      '    extra_args:',
      '      - ⟦--model=y',
      '      - ⟦--gpu_memory_utilization',
      '      - 0.5',
      '      - ⟦-tp',
      '      - ⟦--served-model-name=z',
      '      - ⟦--port 1',
      '      - --max-model-len=5',
      '',
    ].join('\n'),
    faults: [
      'models.qwen.extra_args[0]: `--model` is managed by the gateway: set `repo`',
      'models.qwen.extra_args[1]: `--gpu-memory-utilization` is managed by the gateway: set `gpu_memory_utilization`',
      'models.qwen.extra_args[3]: `-tp` is managed by the gateway: set `tensor_parallel_size`',
      /extra_args\[4\]: `--served-model-name` is managed/,
      /extra_args\[5\]: `--port` is managed/,
    ],
  },
  {
    name: 'memory flags in budget mode, inherited from defaults',
    yaml: [
      'scheduling: {placement_mode: budget}',
      'defaults: {extra_args: [⟦--kv-cache-memory-bytes, 1G]}',
      'models:',
      '  a: {repo: x, memory_mib: 1GiB}',
      '  b: {repo: x, memory_mib: 1GiB, extra_args: [⟦--max-model-len=5]}',
      '  c: {repo: x, memory_mib: 1GiB}',
      '',
    ].join('\n'),
    faults: [
      'defaults.extra_args[0]: `--kv-cache-memory-bytes` is managed by the gateway: the budget decides it',
      'models.b.extra_args[0]: `--max-model-len` is managed by the gateway: set `max_model_len`',
    ],
  },
  {
    name: 'budget mode without a context length',
    yaml: 'scheduling: {placement_mode: budget}\nmodels:\n  ⟦qwen: {repo: x}\n  b: {repo: x, max_model_len: ⟦0}\n  c: {repo: x, memory_mib: 5}\n',
    faults: [
      'models.qwen: budget mode needs the context length of model `qwen`; found 0; allowed: `max_model_len` above 0, or `memory_mib`',
      /^models\.b\.max_model_len: budget mode needs the context length of model `b`/,
    ],
  },
  {
    name: 'nothing to run',
    yaml: 'models:\n  ⟦qwen: {}\n',
    faults: ['models.qwen: nothing says what to run; allowed: one of `repo`, `command`, `url`'],
  },
  {
    name: 'several things to run',
    yaml: 'models:\n  qwen: {repo: x, command: ⟦[serve, "{port}"], url: ⟦"http://h:1"}\n',
    faults: [
      'models.qwen.command: `command` and `repo` exclude each other; allowed: one of `repo`, `command`, `url`',
      'models.qwen.url: `url` and `repo` exclude each other; allowed: one of `repo`, `command`, `url`',
    ],
  },
  {
    name: 'a command that cannot be told where to listen',
    yaml: 'models:\n  a: {command: ⟦[serve, --port, 8000]}\n  b: {command: ⟦["{port}", "{socket}"]}\n  c: {command: ⟦[]}\n',
    faults: [
      'models.a.command: the command does not say where to listen; allowed: an argument with `{port}` or `{socket}`',
      'models.b.command: `{port}` and `{socket}` exclude each other; allowed: one of them',
      'models.c.command: not acceptable; found an empty list; allowed: a list of text that is not empty',
    ],
  },
  {
    name: 'arguments beside a command',
    yaml: 'models:\n  a: {command: ["{port}"], extra_args: ⟦[x], vllm_executable: ⟦[y]}\n',
    faults: [/extra_args` has no meaning with `command`/, /vllm_executable` has no meaning with `command`/],
  },
  {
    name: 'a url that takes devices',
    yaml: 'models:\n  a:\n    url: http://h:1\n    memory_mib: ⟦5\n    tensor_parallel_size: ⟦2\n',
    faults: [
      'models.a.memory_mib: `memory_mib` has no meaning with `url`: that server takes no device of ours',
      'models.a.tensor_parallel_size: `tensor_parallel_size` has no meaning with `url`: that server takes no device of ours',
    ],
  },
  {
    name: 'urls that are none, or carry what they must not',
    yaml: [
      'models:',
      '  a: {url: ⟦"h:1"}',
      '  b: {url: {base: ⟦"http://user:pw@h:1"}}',
      '  c: {⟦url: {⟦bas: "http://h:1"}}',
      '  d: {url: {base: ⟦"http://h/?x=1", ⟦helth: /x}}',
      '  e: {url: ⟦3}',
      '',
    ].join('\n'),
    faults: [
      /^models\.a\.url: not acceptable; found "h:1"; allowed: a URL as http/,
      /^models\.b\.url\.base: not acceptable; found text; allowed: a URL as http/,
      'models.c.url.base: must be given; allowed: a URL as http://host:port or https://host/path, without user, query and fragment',
      /^models\.c\.url\.bas: unknown key; .*did you mean `base`\?$/,
      /^models\.d\.url\.base: not acceptable; found "http:/,
      /^models\.d\.url\.helth: unknown key; .*did you mean `health`\?$/,
      /^models\.e\.url: not acceptable; found 3/,
    ],
  },
  {
    name: 'keys of foreign servers that are missing or contradict',
    yaml: [
      'models:',
      '  a: {url: {base: "http://h:1", api_key_env: ⟦NO_SUCH_VARIABLE}}',
      '  b: {url: {base: "http://h:1", api_key_file: ⟦no-such-file}}',
      '  c: {url: {base: "http://h:1", api_key_env: SET, api_key_file: ⟦f, headers: {⟦authorization: x}}}',
      '',
    ].join('\n'),
    faults: [
      'models.a.url.api_key_env: the environment variable NO_SUCH_VARIABLE is not set',
      'models.b.url.api_key_file: the file "no-such-file" cannot be read',
      'models.c.url.api_key_file: `api_key_env` and `api_key_file` exclude each other',
      'models.c.url.headers.authorization: an Authorization header and an API key exclude each other',
    ],
  },
  {
    name: 'headers that no request may carry',
    yaml: [
      'models:',
      '  a:',
      '    url:',
      '      base: http://h:1',
      '      headers: {⟦Host: x, ⟦content-Length: 5, X-Two: ⟦"a\\r\\nb", ⟦a b: c}',
      '  b: {url: {base: "http://h:1", headers: {⟦Host: x, X-Fine: "ü y"}}}',
      '',
    ].join('\n'),
    faults: [
      'models.a.url.headers.Host: this header belongs to the connection',
      'models.a.url.headers.content-Length: this header belongs to the connection',
      'models.a.url.headers.X-Two: not acceptable; found text; allowed: text on one line, a number or a boolean',
      'models.a.url.headers["a b"]: the key is not acceptable; allowed: header names',
      'models.b.url.headers.Host: this header belongs to the connection',
    ],
  },
  {
    name: 'text with NUL, which the system would cut',
    yaml: 'models:\n  a:\n    repo: ⟦"x\\0y"\n    extra_args: [⟦"a\\0b"]\n    environment: {A: ⟦"b\\0c"}\n',
    faults: [
      /^models\.a\.repo: not acceptable/,
      /^models\.a\.extra_args\[0\]: not acceptable/,
      /^models\.a\.environment\.A: not acceptable; found text; allowed: text, a number or a boolean$/,
    ],
  },
  {
    name: 'device ids that could not be told to an engine',
    yaml: 'devices: {simulated: [{id: ⟦"a,b", memory_mib: 1}, {id: gpu, memory_mib: 1}], memory_limit_mib: {gpv: 5, "*": 6}}\nmodels: {m: {engine: simulated}}\n',
    faults: [
      'devices.simulated[0].id: not acceptable; found "a,b"; allowed: a device id without white space and commas',
    ],
  },
  {
    name: 'a limit for a device that is not simulated',
    yaml: 'devices: {simulated: [{id: gpu, memory_mib: 1}], memory_limit_mib: {⟦gpv: 5, "*": 6}}\nmodels: {m: {engine: simulated}}\n',
    faults: ['devices.memory_limit_mib.gpv: no such simulated device; allowed: *, gpu; did you mean `gpu`?'],
  },
  {
    name: 'faulty lists, without faults that only follow from them',
    yaml: [
      'pools: {p: [⟦0, gpu]}',
      'devices: {source: simulated, simulated: [⟦{⟦idd: gpu, memory_mib: ⟦0}]}',
      'models:',
      '  a: {engine: simulated, pool: p, tensor_parallel_size: 2}',
      '  b: {repo: x, pool: p, extra_args: [⟦[], --model]}',
      '  c: {repo: x, pool: ⟦q}',
      '',
    ].join('\n'),
    faults: [
      'pools.p[0]: not acceptable; found 0; allowed: a device id without white space and commas',
      'devices.simulated[0].id: must be given; allowed: a device id without white space and commas',
      /^devices\.simulated\[0\]\.idd: unknown key; allowed: id, memory_mib; did you mean `id`\?$/,
      /^devices\.simulated\[0\]\.memory_mib: not acceptable; found 0/,
      'models.b.extra_args[0]: not acceptable; found an empty list; allowed: text or a number',
      'models.c.pool: no such pool; found "q"; allowed: p',
    ],
  },
  {
    name: 'engines that cannot run what is given',
    yaml: [
      'models:',
      '  a: {url: "http://h:1", engine: ⟦vllm}',
      '  b: {command: ["{port}"], engine: ⟦simulated}',
      '  c: {repo: x, engine: ⟦openai}',
      '',
    ].join('\n'),
    faults: [
      'models.a.engine: a `url` is served by engine `openai`; found vllm; allowed: openai',
      'models.b.engine: a `command` is not simulated; found simulated; allowed: openai, vllm',
      'models.c.engine: engine `openai` needs `command` or `url`; found openai; allowed: vllm, simulated',
    ],
  },
  {
    name: 'sharing a card while spreading over several',
    yaml: 'models:\n  a: {repo: x, tensor_parallel_size: 2, colocate: ⟦yes}\n',
    faults: [
      'models.a.colocate: model `a` cannot share cards while it spreads over several; allowed: `tensor_parallel_size: 1`',
    ],
  },
  {
    name: 'simulated devices that contradict',
    yaml: 'devices:\n  source: host\n  simulated: ⟦\n    - {id: a, memory_mib: 1}\n    - {id: ⟦a, memory_mib: 1}\npools: {p: [⟦b]}\nmodels: {m: {engine: simulated}}\n'.replace(
      '⟦\n    - {id: a',
      '\n    ⟦- {id: a',
    ),
    faults: [
      'devices.simulated: `source: host` has no simulated devices; allowed: auto, simulated',
      'devices.simulated[1].id: this id stands twice; found "a"',
      'pools.p[0]: no such simulated device; found "b"; allowed: a, a',
    ],
  },
  {
    name: 'simulation without devices',
    yaml: '⟦devices: {source: simulated}\nmodels: {m: {engine: simulated}}\n',
    faults: [
      'devices.simulated: no simulated devices are listed; allowed: [{id: sim-gpu-0, memory_mib: 24GiB}]',
    ],
  },
  {
    name: 'an open address without keys',
    yaml: 'models: {m: {repo: x}}\nserver:\n  host: ⟦0.0.0.0\n',
    faults: [
      /^server\.host: this address is open to the network and no API keys are configured; found "0\.0\.0\.0"; allowed: a loopback address/,
    ],
  },
  {
    name: 'authentication that contradicts',
    yaml: 'models: {m: {repo: x}}\nserver: {auth: ⟦keys}\n',
    faults: ['server.auth: `auth: keys` needs `server.api_keys_file`'],
  },
  {
    name: 'a file of API keys that is not there, and auth none beside it',
    yaml: 'models: {m: {repo: x}}\nserver: {auth: ⟦none, api_keys_file: ⟦missing.txt}\n',
    faults: [
      'server.auth: `auth: none` and `server.api_keys_file` exclude each other',
      'server.api_keys_file: the file "missing.txt" cannot be read',
    ],
  },
  {
    name: 'header time beyond the request time',
    yaml: 'models: {m: {repo: x}}\nserver: {headers_timeout: ⟦10m}\n',
    faults: [
      'server.headers_timeout: longer than `server.request_timeout`; found 600 s; allowed: at most 300 s',
    ],
  },
  {
    name: 'a fault behind a merge key, reported where the anchor stands',
    yaml: 'defaults: &base\n  max_num_seqs: ⟦⟦0\nmodels:\n  a:\n    <<: *base\n    repo: x\n',
    faults: [
      /^defaults\.max_num_seqs: not acceptable; found 0/,
      /^models\.a\.max_num_seqs: not acceptable; found 0/,
    ],
  },
  {
    name: 'a fault behind an alias, reported where the anchor stands',
    yaml: 'models:\n  a: &m\n    repo: x\n    ⟦⟦pol: p\n  b: *m\n',
    faults: [/^models\.a\.pol: unknown key/, /^models\.b\.pol: unknown key/],
  },
];

for (const { name, yaml, faults } of CASES) {
  test(`refuses ${name}`, async () => {
    const { text, places } = unmarked(yaml);
    const found = await faultsOf(text, { SET: 'x' });
    const shown = found.map((one) => formatFault(one).replace(/^.*models-\d+\.yaml/, ''));
    const expected = places.map(({ line, column }) => `:${line}:${column}`);
    assert.deepEqual(
      shown.map((line) => /^(:\d+:\d+)/.exec(line)?.[1] ?? 'no position'),
      expected,
      shown.join('\n'),
    );
    assert.equal(found.length, faults.length, shown.join('\n'));
    for (const [index, wanted] of faults.entries()) {
      const words = (shown[index] ?? '').replace(/^:\d+:\d+: /, '');
      if (typeof wanted === 'string') assert.equal(words, wanted);
      else assert.match(words, wanted);
    }
  });
}

test('refuses a file that is missing, empty, a directory or not UTF-8', async () => {
  const missing = await loadConfig({ file: join(directory, 'none.yaml'), environment: {} });
  assert.ok(!missing.ok);
  assert.match(missing.error.map(formatFault).join(), /none\.yaml: the file does not exist$/);
  const folder = await loadConfig({ file: directory, environment: {} });
  assert.ok(!folder.ok);
  assert.match(folder.error.map(formatFault).join(), /the file cannot be read \(EISDIR\)$/);
  const [empty] = await faultsOf('# nothing\n');
  assert.equal(empty?.problem, 'the file is empty');
  const binary = join(directory, 'binary.yaml');
  await writeFile(binary, Buffer.from([0x6d, 0xff, 0xfe]));
  const notText = await loadConfig({ file: binary, environment: {} });
  assert.ok(!notText.ok);
  assert.equal(notText.error[0]?.problem, 'the file is not UTF-8');
});

test('refuses what grows or nests without end', async () => {
  const bomb = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 9; level += 1) {
    bomb.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(', ')}]`);
  }
  const [grown] = await faultsOf(bomb.join('\n'));
  assert.equal(grown?.code, 'too_large');
  const [nested] = await faultsOf(`models: ${'['.repeat(200)}${']'.repeat(200)}`);
  assert.equal(nested?.code, 'too_large');
  const [circular] = await faultsOf('models: &m\n  a: *m\n');
  assert.equal(circular?.code, 'too_large');
  const deep = await faultsOf(`models: ${'['.repeat(5_000)}`);
  assert.equal(deep[0]?.problem, 'not valid YAML: it is nested too deeply');
  assert.ok(deep.length <= 21, 'only the first faults help');
  const many = await faultsOf(Array.from({ length: 10_000 }, (_, index) => `key${index}: 1`).join('\n'));
  assert.ok(many.length >= 10_000, 'keys are compared in linear time');
  const [large] = await faultsOf('#'.repeat(5_000_000));
  assert.equal(large?.code, 'too_large');
});
