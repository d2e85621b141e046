/** Faults of what runs a model: a launch of ours, a command, or a server elsewhere. */
import { type FaultCase, testFaultCases, useDirectory } from './fault-fixtures.ts';

useDirectory();

const CASES: readonly FaultCase[] = [
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
    name: 'keys beside a command that only a command line of ours heeds; what switches nothing on is no fault',
    yaml: [
      'models:',
      '  a: {command: ["{port}"], extra_args: ⟦[x], vllm_executable: ⟦[y]}',
      '  b: {command: ["{port}"], sleep: ⟦level_2, warm_up: ⟦true, tool_parser: ⟦hermes, reasoning_parser: ⟦auto}',
      '  c: {command: ["{port}"], engine: vllm, kv_reservation_seqs: ⟦2, max_num_seqs: ⟦4, dtype: ⟦half}',
      '  d: {command: ["{port}"], sleep: off, warm_up: false, tool_parser: off, quantization: null, extra_args: []}',
      '  e: {command: ["{port}"], max_model_len: 4096, memory_mib: 1GiB, colocate: true, on_drain_timeout: wait}',
      '',
    ].join('\n'),
    faults: [
      'models.a.extra_args: `extra_args` has no meaning with `command`: write the arguments there',
      'models.a.vllm_executable: `vllm_executable` has no meaning with `command`: take it out',
      'models.b.sleep: `sleep` has no meaning with `command`: take it out',
      /^models\.b\.warm_up: `warm_up` has no meaning with `command`/,
      /^models\.b\.tool_parser: /,
      /^models\.b\.reasoning_parser: /,
      /^models\.c\.kv_reservation_seqs: /,
      /^models\.c\.max_num_seqs: /,
      /^models\.c\.dtype: /,
    ],
  },
  {
    name: 'a url that takes devices, gives way, or is started',
    yaml: [
      'models:',
      '  a:',
      '    url: http://h:1',
      '    memory_mib: ⟦5',
      '    tensor_parallel_size: ⟦2',
      '    sleep: ⟦off',
      '    tool_parser: ⟦auto',
      '    reasoning_parser: ⟦qwen3',
      '    on_drain_timeout: ⟦wait',
      '',
    ].join('\n'),
    faults: [
      'models.a.memory_mib: `memory_mib` has no meaning with `url`: that server takes no device of ours; take it out',
      /^models\.a\.tensor_parallel_size: `tensor_parallel_size` has no meaning with `url`: that server takes no device/,
      'models.a.sleep: `sleep` has no meaning with `url`: the gateway does not start that server; take it out',
      /^models\.a\.tool_parser: `tool_parser` has no meaning with `url`/,
      /^models\.a\.reasoning_parser: /,
      'models.a.on_drain_timeout: `on_drain_timeout` has no meaning with `url`: that server gives way to no other; take it out',
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
];

testFaultCases(CASES);
