/** Faults of rules that span several keys, each at its exact place. */
import { type FaultCase, testFaultCases, useDirectory } from './fault-fixtures.ts';

useDirectory();

const CASES: readonly FaultCase[] = [
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
    name: 'adapters whose names are taken',
    yaml: [
      'models:',
      '  qwen: {repo: x, served_name: own, adapters: {⟦other: /a, ⟦own: /b, ⟦poet: /c, fine: /d}}',
      '  other: {repo: y, adapters: {⟦poet: /e, ⟦short: /f}}',
      'aliases: {short: qwen, long: fine, far: ⟦fime}\n',
    ].join('\n'),
    faults: [
      'models.qwen.adapters.other: a model has this name already',
      'models.qwen.adapters.own: `served_name` says that this is the model itself',
      'models.qwen.adapters.poet: model `other` has an adapter of this name too',
      'models.other.adapters.poet: model `qwen` has an adapter of this name too',
      'models.other.adapters.short: an alias has this name already',
      /^aliases\.far: no such model; found "fime"/,
    ],
  },
  {
    name: 'origins that no browser sends',
    yaml: 'server: {cors_origins: ["https://a.example", ⟦"https://A.example", ⟦"http://b:80"]}\nmodels: {a: {repo: x}}\n',
    faults: [
      'server.cors_origins[1]: no browser spells an origin like this; found "https://A.example"; allowed: https://a.example',
      'server.cors_origins[2]: no browser spells an origin like this; found "http://b:80"; allowed: http://b',
    ],
  },
  {
    name: 'adapters in two places',
    yaml: 'models: {qwen: {repo: x, adapters: {poet: /a}, extra_args: [--x, ⟦--lora_modules, b=/b]}}\n',
    faults: ['models.qwen.extra_args[1]: `adapters` names them already: put these there too'],
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
      'defaults.extra_args[0]: `--kv-cache-memory-bytes` is managed by the gateway: the reservation decides it',
      'models.b.extra_args[0]: `--max-model-len` is managed by the gateway: set `max_model_len`',
    ],
  },
  {
    name: 'every memory flag in budget mode; one that lets an engine sleep is allowed',
    yaml: [
      'scheduling: {placement_mode: budget}',
      'models:',
      '  a:',
      '    repo: x',
      '    max_model_len: 1024',
      '    extra_args: [--enable-sleep-mode, ⟦--kv-cache-memory=1, ⟦--kv_cache_memory_bytes=1, ⟦--gpu-memory-utilization, 1, ⟦--device-memory-utilization=1, ⟦--num-gpu-blocks-override=1, ⟦--max-num-seqs=1]',
      '',
    ].join('\n'),
    faults: [
      'models.a.extra_args[1]: `--kv-cache-memory` is managed by the gateway: the reservation decides it',
      /extra_args\[2\]: `--kv-cache-memory-bytes` is managed/,
      /extra_args\[3\]: `--gpu-memory-utilization` is managed/,
      /extra_args\[5\]: `--device-memory-utilization` is managed/,
      /extra_args\[6\]: `--num-gpu-blocks-override` is managed/,
      /extra_args\[7\]: `--max-num-seqs` is managed/,
    ],
  },
  {
    name: 'memory flags of a model that shares its card in whole_card mode; alone on it they are its own affair',
    yaml: [
      'models:',
      '  a: {repo: x, colocate: true, extra_args: [⟦--kv-cache-memory-bytes, 12G]}',
      '  b: {repo: x, extra_args: [--kv-cache-memory-bytes, 12G]}',
      '',
    ].join('\n'),
    faults: [
      'models.a.extra_args[0]: `--kv-cache-memory-bytes` is managed by the gateway: the reservation decides it',
    ],
  },
  {
    name: 'figures that needs cannot be reckoned with',
    yaml: [
      'scheduling: {budget_overhead_factor: ⟦0.9, budget_overhead_mib: ⟦-1, colocate_margin_mib: 0, colocate_max_share: ⟦0, colocate_weight_overhead: ⟦0}',
      'devices: {host_memory_mib: ⟦0, host_memory_floor_mib: 0}',
      'models: {a: {repo: x, sleep: ⟦maybe, on_drain_timeout: ⟦kill}}',
      '',
    ].join('\n'),
    faults: [
      'scheduling.budget_overhead_factor: not acceptable; found 0.9; allowed: a number from 1 to 10',
      /^scheduling\.budget_overhead_mib: not acceptable; found -1; allowed: MiB as a number at least 0/,
      /^scheduling\.colocate_max_share: /,
      /^scheduling\.colocate_weight_overhead: /,
      /^devices\.host_memory_mib: not acceptable; found 0/,
      'models.a.sleep: not acceptable; found "maybe"; allowed: one of auto, off, level_2',
      'models.a.on_drain_timeout: not acceptable; found "kill"; allowed: one of cut, wait',
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
      'pools.p[0]: no such simulated device; found "b"; allowed: a',
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
    name: 'one half of what TLS needs',
    yaml: 'models: {m: {repo: x}}\nserver: {tls_cert: ⟦c.pem}\n',
    faults: ['server.tls_cert: `tls_cert` needs `server.tls_key`'],
  },
  {
    name: 'less room for large bodies than one of them may take',
    yaml: 'models: {m: {repo: x}}\nserver: {audio_body_limit_mib: 600, body_spool_mib: ⟦599}\n',
    faults: [
      'server.body_spool_mib: smaller than `server.audio_body_limit_mib`; found 599 MiB; allowed: at least 600 MiB',
    ],
  },
  {
    name: 'a body that is larger than the room for all of them, which nobody wrote',
    yaml: 'models: {m: {repo: x}}\nserver: {audio_body_limit_mib: ⟦4097}\n',
    faults: [
      'server.audio_body_limit_mib: larger than `server.body_spool_mib`; found 4097 MiB; allowed: at most 4096 MiB, or a larger `server.body_spool_mib`',
    ],
  },
  {
    name: 'header time beyond the request time',
    yaml: 'models: {m: {repo: x}}\nserver: {headers_timeout: ⟦10m}\n',
    faults: [
      'server.headers_timeout: longer than `server.request_timeout`; found 600 s; allowed: at most 300 s',
    ],
  },
];

testFaultCases(CASES);
