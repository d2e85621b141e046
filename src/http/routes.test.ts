import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ERRORS } from '../core/errors.ts';
import { createPrng } from '../core/prng.ts';
import { FORBIDDEN_NAMES } from './forbidden-paths.ts';
import { createNameResolver, type NameResolver } from './names.ts';
import { MODEL_ROUTES, OWN_ROUTES } from './route-table.ts';
import { matchRoute, type Route, type RouteRequest } from './routes.ts';

/** Names for the routes alone: no model needs a configuration here. */
function namesOf(...known: string[]): NameResolver {
  const none = createNameResolver({ models: new Map(), aliases: [], defaultModel: null });
  const named = known.map((model) => {
    return {
      kind: 'ok',
      model,
      servedName: model,
      isAdapter: false,
      requestDefaults: {},
      edits: null,
    } as const;
  });
  return {
    ...none,
    splitPath(rawPath) {
      const path = rawPath.replaceAll(/%2f/gi, '/');
      const name = named.find((entry) => path === entry.model || path.startsWith(`${entry.model}/`));
      return name === undefined ? null : { name, rest: path.slice(name.model.length) };
    },
  };
}

const names = namesOf('org/m', 'm', 'org/resume');

function match(method: string, target: string, more: Partial<RouteRequest> = {}): Route {
  return matchRoute({ method, target, contentType: 'application/json', modelHeader: null, ...more }, names);
}

function refusal(method: string, target: string) {
  const route = match(method, target);
  assert(route.kind === 'fault', `${method} ${target} was matched as ${route.kind}`);
  return { code: route.refusal.code, dialect: route.dialect, allow: route.refusal.headers?.allow };
}

function codeOf(method: string, target: string): string {
  return refusal(method, target).code;
}

describe('matchRoute on model routes', () => {
  it('knows the rule and the dialect of each', () => {
    const cases: [string, string, string][] = [
      ['/v1/chat/completions', 'json', 'openai'],
      ['/v1/completions', 'json', 'openai'],
      ['/v1/embeddings', 'json', 'openai'],
      ['/v1/responses', 'json', 'responses'],
      ['/v1/messages', 'json', 'anthropic'],
      ['/v1/messages/count_tokens', 'json', 'anthropic'],
      ['/v1/audio/transcriptions', 'multipart', 'openai'],
      ['/v2/embed', 'json', 'openai'],
      ['/invocations', 'json', 'openai'],
      ['/v1/messages/render', 'json', 'anthropic'],
      ['/v1/responses/render', 'json', 'responses'],
      ['/inference/v1/generate', 'json', 'openai'],
    ];
    for (const [path, bodyRule, dialect] of cases) {
      const route = match('POST', `${path}?x=1`);
      assert(route.kind === 'model', path);
      assert.deepEqual(
        [route.label, route.upstreamTarget, route.bodyRule, route.dialect],
        [path, `${path}?x=1`, bodyRule, dialect],
      );
    }
  });

  it('serves every other POST path by its body, under one label', () => {
    for (const path of ['/v1/files/search', '/ping', '/v3/embed', '/infill', '/v1/chat/completions/other']) {
      const route = match('POST', path);
      assert(route.kind === 'model', path);
      assert.deepEqual([route.label, route.upstreamTarget, route.bodyRule], ['other', path, 'json']);
    }
    const upload = match('POST', '/v1/files', { contentType: 'Multipart/Form-Data; boundary=x' });
    assert(upload.kind === 'model' && upload.bodyRule === 'multipart');
  });

  it('takes the known spelling of a known path written otherwise', () => {
    for (const path of ['/v1/chat/completions/', '/v1/ch%61t/completions']) {
      const route = match('POST', `${path}?a=b`);
      assert(route.kind === 'model');
      assert.deepEqual(
        [route.label, route.upstreamTarget],
        ['/v1/chat/completions', '/v1/chat/completions?a=b'],
      );
    }
  });

  it('takes the model of other methods from the query or X-Model', () => {
    const byQuery = match('GET', '/v1/realtime?model=org%2Fm');
    assert(byQuery.kind === 'model');
    assert.deepEqual([byQuery.modelName, byQuery.bodyRule, byQuery.label], ['org/m', 'none', 'other']);
    const byHeader = match('DELETE', '/v1/responses/abc/def?model=other', { modelHeader: 'm' });
    assert(byHeader.kind === 'model');
    assert.deepEqual([byHeader.modelName, byHeader.bodyRule, byHeader.dialect], ['m', 'any', 'responses']);
    assert.equal(byHeader.responseId, null);
    assert.equal(codeOf('GET', '/v1/realtime'), 'route_not_found');
    assert.equal(codeOf('GET', '/v1/realtime?model='), 'route_not_found');
  });

  it('takes a stored response for what it is about, and its model from elsewhere', () => {
    for (const [method, path, bodyRule] of [
      ['GET', '/v1/responses/resp_1', 'none'],
      ['HEAD', '/v1/responses/resp_1', 'none'],
      ['GET', '/v1/responses/resp_1/input_items', 'none'],
      ['DELETE', '/v1/responses/resp_1', 'any'],
      ['POST', '/v1/responses/resp_1/cancel', 'any'],
    ] as const) {
      const route = match(method, `${path}?model=m`);
      assert(route.kind === 'model', path);
      const { label, responseId, upstreamTarget, dialect } = route;
      assert.deepEqual(
        [label, responseId, upstreamTarget, route.bodyRule, dialect],
        ['/v1/responses/{id}', 'resp_1', `${path}?model=m`, bodyRule, 'responses'],
      );
    }
    for (const path of ['/v1/responses/resp_1', '/v1/responses/a%20b/cancel', '/v1/responses/a/b/cancel']) {
      const route = match('POST', path);
      assert(route.kind === 'model' && route.responseId === null, path);
    }
  });

  it('answers 405 with Allow for known paths', () => {
    assert.deepEqual(refusal('GET', '/v1/chat/completions'), {
      code: 'method_not_allowed',
      dialect: 'openai',
      allow: 'POST, OPTIONS',
    });
    assert.deepEqual(refusal('PUT', '/v1/messages'), {
      code: 'method_not_allowed',
      dialect: 'anthropic',
      allow: 'POST, OPTIONS',
    });
    for (const path of ['/health', '/v1/models', '/v1/models/x', '/gateway/status', '/%68ealth', '/ready/']) {
      assert.deepEqual(refusal('POST', path), {
        code: 'method_not_allowed',
        dialect: 'openai',
        allow: 'GET, HEAD, OPTIONS',
      });
    }
  });
});

describe('matchRoute on routes of the gateway', () => {
  it('answers them for GET and HEAD, with or without a query', () => {
    for (const [path, own] of OWN_ROUTES) {
      for (const target of [path, `${path}?x`, `${path}/`]) {
        for (const method of ['GET', 'HEAD']) {
          const route = match(method, target);
          assert(route.kind === 'own' && route.route === own && route.label === path, target);
        }
      }
    }
  });

  it('reads model ids with slashes, raw or encoded', () => {
    for (const id of ['org/m', 'org%2Fm', 'org%2fm?x=1']) {
      const route = match('GET', `/v1/models/${id}`);
      assert(route.kind === 'own' && route.route === 'model');
      assert.deepEqual([route.modelId, route.label], ['org/m', '/v1/models/{id}']);
    }
    const route = match('GET', '/v1/models/org/resume');
    assert(route.kind === 'own' && route.modelId === 'org/resume');
  });

  it('keeps its own names from engines', () => {
    for (const path of ['/', '/gateway/other', '/%67ateway/x', '/engines/', '/%65ngines/m/v1']) {
      assert.equal(codeOf('POST', path), 'route_not_found', path);
    }
    assert.equal(codeOf('GET', '/favicon.ico'), 'route_not_found');
  });
});

describe('matchRoute beneath /engines', () => {
  it('passes path and query to the named engine', () => {
    const cases: [string, string, string][] = [
      ['/engines/org/m/v1/models?x=1', 'org/m', '/v1/models?x=1'],
      ['/engines/org%2Fm/metrics', 'org/m', '/metrics'],
      ['/engines/m', 'm', '/'],
      ['/engines/org/resume/v1/models', 'org/resume', '/v1/models'],
    ];
    for (const [target, model, upstreamTarget] of cases) {
      const route = match('GET', target);
      assert(route.kind === 'engine_path', target);
      assert.deepEqual(
        [route.name.model, route.upstreamTarget, route.bodyRule],
        [model, upstreamTarget, 'none'],
      );
    }
    const posted = match('POST', '/engines/m/v1/messages');
    assert(posted.kind === 'engine_path' && posted.bodyRule === 'any' && posted.dialect === 'anthropic');
  });

  it('says which model it does not know', () => {
    const cases: [string, string][] = [
      ['/engines/org/x/v1/chat/completions', 'org/x'],
      ['/engines/x', 'x'],
      ['/engines/x%2Fy/metrics', 'x/y'],
    ];
    for (const [target, model] of cases) {
      const route = match('POST', target);
      assert(route.kind === 'fault' && route.refusal.code === 'model_not_found');
      assert.equal(route.refusal.parameters.model, model);
    }
    const messages = refusal('POST', '/engines/x/v1/messages');
    assert.deepEqual([messages.code, messages.dialect], ['model_not_found', 'anthropic']);
  });

  it('refuses methods that no engine has', () => {
    assert.equal(refusal('TRACE', '/engines/m/x').allow, 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
  });
});

describe('matchRoute for OPTIONS', () => {
  it('says what may be asked of a path, whoever its model is', () => {
    const cases: [string, string][] = [
      ['*', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
      ['/v1/chat/completions', 'POST, OPTIONS'],
      ['/v1/chat/completions/?x=1', 'POST, OPTIONS'],
      ['/v1/models', 'GET, HEAD, OPTIONS'],
      ['/v1/models/org/m', 'GET, HEAD, OPTIONS'],
      ['/ready', 'GET, HEAD, OPTIONS'],
      ['/v1/files', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
      ['/engines/org/resume/v1/models', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
      ['/engines/nobody/v1/models', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
      ['/engines/m/load', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
    ];
    for (const [target, allowed] of cases) {
      const route = match('OPTIONS', target);
      assert(route.kind === 'options', target);
      assert.equal(route.allowed, allowed, target);
    }
  });

  it('refuses what every other method refuses', () => {
    assert.equal(codeOf('OPTIONS', '/gateway/x'), 'route_not_found');
    assert.equal(codeOf('OPTIONS', '//v1/models'), 'request_malformed');
    assert.equal(codeOf('OPTIONS', '/engines/m/%73leep'), 'route_forbidden');
  });
});

describe('matchRoute on paths that change an engine', () => {
  const paths = [
    'sleep',
    'wake_up',
    'pause',
    'resume',
    'collective_rpc',
    'start_profile',
    'stop_profile',
    'abort_requests',
    'v1/load_lora_adapter',
    'v1/unload_lora_adapter',
    'reset_prefix_cache',
    'reset_mm_cache',
    'update_weights',
    'init_weight_transfer_engine',
    'scale_elastic_ep',
    'fault_tolerance/apply',
    'release_kv_cache_memory',
    'server_info',
    'inference/v1/abort_requests',
    'lora-adapters',
    'slots/0',
    'models/unload',
    'api/pull',
    'get_world_size',
    'clear_hicache_storage_backend',
    'hicache/storage-backend',
    'init_process_group',
    'dump_expert_distribution_record',
    'close_session',
    'v1/load_lora',
    'sdapi/v1/unload-checkpoint',
    'admin/reload',
    'debug/pprof',
    'shutdown',
    // Every route of vLLM 0.32 that is more than a question.
    'update_weight_version',
    'start_weight_update',
    'start_draft_weight_update',
    'finish_weight_update',
    'shutdown_weight_transfer_engine',
    'weight_checker',
    'weight_info',
    'is_scaling_elastic_ep',
    'fault_tolerance/status',
    'reset_encoder_cache',
  ];

  it('refuses what reads by GET and changes by other methods only for those', () => {
    for (const path of [
      'props',
      'load',
      'v1/model/load',
      'v1/model/unload',
      'v1/lora/load',
      'v1/internal/model/load',
      'adapters',
      'adapters/poet',
    ]) {
      assert.equal(codeOf('POST', `/engines/m/${path}`), 'route_forbidden', path);
      assert.equal(match('GET', `/engines/m/${path}`).kind, 'engine_path', path);
    }
  });

  it('refuses each at the root and beneath /engines, by every method', () => {
    for (const path of paths) {
      for (const method of ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS']) {
        for (const prefix of ['/', '/engines/m/', '/engines/org%2Fm/', '/engines/unknown/']) {
          assert.equal(codeOf(method, `${prefix}${path}?model=m`), 'route_forbidden', prefix + path);
        }
      }
    }
  });

  it('refuses each in every spelling that some server may understand', () => {
    const spellings = [
      '/SLEEP',
      '/Sleep',
      '/sleep/',
      '//sleep',
      '/./sleep',
      '/x/../sleep',
      '/%73leep',
      '/%73%6C%65%65%70',
      '/%2573leep',
      '/%252573leep',
      '/%2Fsleep',
      '/x%2F..%2Fsleep',
      '/x%5C..%5Csleep',
      '/\\sleep',
      '/sleep;a=b',
      '/sleep%3Fa=b',
      '/sleep%23',
      '/sleep%00',
      '/%00sleep',
      '/sleep.',
      '/sleep%20',
      '/sleep%0a',
      '/prefix/sleep',
      '/sleep/x',
      '/WAKE-UP',
      '/wake%5Fup',
      '/sleep%3b',
      '/%2e/sleep',
      '/%2e%2e/sleep',
      '/v1/%6Coad_lora_adapter',
      '/%zz/sleep',
    ];
    for (const spelling of spellings) {
      for (const prefix of ['', '/engines/m', '/engines/org/m']) {
        assert.equal(codeOf('POST', prefix + spelling), 'route_forbidden', prefix + spelling);
      }
    }
  });

  it('passes no mutation of them that a server could resolve to one', () => {
    const prng = createPrng(7);
    const pieces = [
      '/',
      '//',
      '/./',
      '/../',
      '%2F',
      '%2e',
      '%2E%2e/',
      '\\',
      ';x',
      '%25',
      'x',
      '%00',
      '%20',
      '.',
      'S',
      '%53',
    ];
    const pick = <T>(list: readonly T[]): T => list[prng.integer(list.length)] as T;
    let reached = 0;
    for (let count = 0; count < 50_000; count++) {
      let path =
        pick(['', '/engines/m', '/engines/org%2Fm', '/v1']) +
        pick(['/sleep', '/wake_up', '/v1/load_lora_adapter']);
      for (let round = prng.integer(4); round > 0; round--) {
        const at = 1 + prng.integer(path.length);
        const skipped = prng.integer(2);
        const encoded = `%${path
          .charCodeAt(at - 1)
          .toString(16)
          .padStart(2, '0')}`;
        path =
          path.slice(0, Math.max(1, at - prng.integer(2))) +
          pick([...pieces, encoded]) +
          path.slice(at + skipped - 1);
      }
      const isChanging = RESOLVERS.some((resolve) =>
        /^(sleep|wake_up|load_lora_adapter)$/.test(lastSegment(resolve(path))),
      );
      if (!isChanging) continue;
      reached++;
      assert.equal(match('POST', path).kind, 'fault', path);
    }
    assert(reached > 10_000, `only ${reached} mutations still reach a route`);
  });

  it('leaves reading routes alone', () => {
    for (const path of [
      'is_sleeping',
      'metrics',
      'version',
      'v1/models',
      'tokenize',
      'docs',
      'asleep',
      'v1/resumes',
    ]) {
      assert.equal(match('POST', `/engines/m/${path}`).kind, 'engine_path', path);
    }
  });
});

/** How servers turn a raw path into the one they route by. */
const RESOLVERS: readonly ((path: string) => string)[] = [
  // uvicorn: decoded once.
  (path) => unescape(path),
  // A proxy that decodes, resolves dot segments, merges slashes and hands on to a server that decodes again.
  (path) => unescape(new URL(`http://h${unescape(path).replaceAll(/\/{2,}/g, '/')}`, 'http://h').pathname),
  // Servers that ignore case, path parameters and a slash or dots at the end.
  (path) =>
    unescape(path)
      .replaceAll(/;[^/]*/g, '')
      .replace(/[/.]+$/, '')
      .toLowerCase(),
];

function lastSegment(path: string): string {
  return path.split('/').findLast((segment) => segment !== '') ?? '';
}

describe('matchRoute on paths that can be read in two ways', () => {
  it('refuses them', () => {
    for (const path of [
      '//v1/chat/completions',
      '/v1//models',
      '/v1/./models',
      '/v1/../v1/models',
      '/v1/%2e%2e/v1/models',
      '/v1/a%2F..%2Fb',
      '/v1/%252e%252e/x',
      '/v1\\models',
      '/v1%5Cmodels',
      '/v1/a%00',
      '/v1/a%0d%0ab',
      '/v1/%zz',
      '/v1/%',
      '/v1/%ff',
      '/v1/%252525252525',
      '/engines/m//v1',
      '/engines/m/../n/v1',
      '/engines//m',
    ]) {
      assert.equal(codeOf('POST', path), 'request_malformed', path);
      assert.equal(codeOf('GET', path), 'request_malformed', path);
    }
  });

  it('judges a long and hostile path in linear time', () => {
    for (const path of ['.'.repeat(60_000), '%25'.repeat(20_000), '/.'.repeat(30_000), ';'.repeat(60_000)]) {
      assert.equal(match('GET', `/${path}x`).kind, 'fault');
    }
  });
});

describe('docs/routes.md', () => {
  const text = readFileSync(new URL('../../docs/routes.md', import.meta.url), 'utf8');
  const documented = [...text.matchAll(/^\| `(?<methods>[A-Z, ]+)` \| `(?<path>[^`]+)` \|/gm)].map((row) => {
    return { methods: row.groups?.methods ?? '', path: row.groups?.path ?? '' };
  });

  it('lists every route of the table, and the table every route it lists', () => {
    const fixed = documented.filter(({ path }) => !path.includes('...') && !path.includes('{'));
    const inTable = [
      ...[...OWN_ROUTES.keys()].map((path) => `GET, HEAD ${path}`),
      ...[...MODEL_ROUTES.keys()].map((path) => `POST ${path}`),
    ];
    assert.deepEqual(fixed.map(({ methods, path }) => `${methods} ${path}`).sort(), inTable.sort());
  });

  it('tells the truth about every row with a variable', () => {
    const rows = documented.filter(({ path }) => path.includes('...') || path.includes('{'));
    assert.equal(rows.length, 7);
    for (const { methods, path } of rows) {
      const target = path
        .replaceAll('...', 'x/y')
        .replaceAll('{model}', 'm')
        .replaceAll('{id}', path.includes('responses') ? 'resp_1' : 'a/b');
      for (const method of methods.split(', ')) {
        const route = match(method, target, { modelHeader: 'm' });
        assert.notEqual(route.kind, 'fault', `${method} ${target}`);
      }
    }
  });

  it('names everything that is refused as changing an engine', () => {
    for (const name of FORBIDDEN_NAMES) assert(text.includes(`\`${name}\``), name);
  });

  it('mentions only errors of the catalogue', () => {
    for (const [, code] of text.matchAll(/error `(\w+)`/g))
      assert(code !== undefined && code in ERRORS, code);
  });
});
