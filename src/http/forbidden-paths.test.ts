import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPrng } from '../core/prng.ts';
import { codeOf, match } from './route-fixtures.ts';

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
