import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ERRORS } from '../core/errors.ts';
import { FORBIDDEN_NAMES } from './forbidden-paths.ts';
import { codeOf, match, refusal } from './route-fixtures.ts';
import { MODEL_ROUTES, OWN_ROUTES } from './route-table.ts';

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
