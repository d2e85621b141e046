import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkContentType, checkHead, type RawHead } from './request-checks.ts';

function check(headers: Record<string, string> | string[], more: Partial<RawHead> = {}) {
  const rawHeaders = Array.isArray(headers) ? headers : Object.entries({ Host: 'h:1', ...headers }).flat();
  return checkHead({ method: 'POST', url: '/v1/x', httpVersion: '1.1', rawHeaders, ...more });
}

function codeOf(headers: Record<string, string> | string[], more: Partial<RawHead> = {}): string {
  const result = check(headers, more);
  return result.kind === 'ok' ? 'ok' : result.refusal.code;
}

describe('checkHead', () => {
  it('reads the headers that the front needs, whatever their case', () => {
    const head = check({
      'CONTENT-type': 'application/json',
      authorization: 'Bearer k',
      'X-API-Key': 'k2',
      'x-request-id': 'r',
      'X-Model': 'm',
      'content-length': '12',
      Accept: '*/*',
    });
    assert.deepEqual(head, {
      kind: 'ok',
      method: 'POST',
      target: '/v1/x',
      host: 'h:1',
      origin: null,
      fetchSite: null,
      contentType: 'application/json',
      authorization: 'Bearer k',
      apiKey: 'k2',
      requestId: 'r',
      modelHeader: 'm',
      upgrade: null,
      queueTimeout: null,
      progress: null,
      accept: '*/*',
      contentLength: 12,
      hasBody: true,
      expectsContinue: false,
    });
  });

  it('refuses headers that stand twice, also in two cases', () => {
    for (const name of [
      'host',
      'authorization',
      'x-api-key',
      'content-type',
      'content-length',
      'content-encoding',
      'x-model',
      'expect',
      'transfer-encoding',
    ]) {
      assert.equal(
        codeOf(['Host', 'h', name, 'chunked', name.toUpperCase(), 'chunked']),
        'request_ambiguous',
        name,
      );
    }
  });

  it('keeps the first of headers that form a list', () => {
    const head = check(['Host', 'h', 'accept', 'a', 'Accept', 'b', 'x-request-id', '1', 'X-Request-Id', '2']);
    assert(head.kind === 'ok');
    assert.deepEqual([head.accept, head.requestId], ['a', '1']);
  });

  it('takes chunked bodies in HTTP/1.1 alone, and no other transfer coding', () => {
    for (const coding of ['chunked', 'Chunked', ' chunked ']) {
      const head = check({ 'Transfer-Encoding': coding });
      assert(head.kind === 'ok' && head.hasBody && head.contentLength === null);
    }
    for (const coding of ['gzip, chunked', 'chunked, chunked', 'identity', 'chunked;a', 'xchunked', '']) {
      assert.equal(codeOf({ 'Transfer-Encoding': coding }), 'request_malformed', coding);
    }
    assert.equal(codeOf({ 'Transfer-Encoding': 'chunked' }, { httpVersion: '1.0' }), 'request_ambiguous');
    assert.equal(codeOf({ 'Transfer-Encoding': 'chunked', 'Content-Length': '1' }), 'request_ambiguous');
  });

  it('refuses lengths that are no whole numbers', () => {
    for (const length of ['-1', '+1', '1.0', '0x1', '1 1', '1,1', '', '9'.repeat(16)]) {
      assert.equal(codeOf({ 'Content-Length': length }), 'request_malformed', length);
    }
    assert.equal(codeOf({ 'Content-Length': '0' }), 'ok');
  });

  it('refuses bodies on methods that have none', () => {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE']) {
      assert.equal(codeOf({ 'Content-Length': '1' }, { method }), 'request_malformed');
      assert.equal(codeOf({ 'Transfer-Encoding': 'chunked' }, { method }), 'request_malformed');
      assert.equal(codeOf({ 'Content-Length': '0' }, { method }), 'ok');
    }
    assert.equal(codeOf({ 'Content-Length': '1' }, { method: 'DELETE' }), 'ok');
  });

  it('needs a Host in HTTP/1.1 and serves no other versions than 1.0 and 1.1', () => {
    assert.equal(codeOf([]), 'request_malformed');
    assert.equal(codeOf([], { httpVersion: '1.0' }), 'ok');
    assert.equal(codeOf({}, { httpVersion: '2.0' }), 'request_malformed');
    assert.equal(codeOf({}, { httpVersion: '0.9' }), 'request_malformed');
  });

  it('refuses compressed bodies and expectations other than 100-continue', () => {
    for (const encoding of ['gzip', 'br', 'identity, gzip']) {
      assert.equal(codeOf({ 'Content-Encoding': encoding }), 'body_encoding');
    }
    assert.equal(codeOf({ 'Content-Encoding': 'Identity' }), 'ok');
    assert.equal(codeOf({ Expect: '200-ok' }), 'expectation_failed');
    const head = check({ Expect: '100-Continue' });
    assert(head.kind === 'ok' && head.expectsContinue);
  });

  it('brings an absolute target for the same host into origin form', () => {
    for (const [url, target] of [
      ['http://h:1/v1/x?y=/z', '/v1/x?y=/z'],
      ['HTTP://H:1/v1', '/v1'],
      ['https://h:1', '/'],
      ['http://h:1?a=b', '/?a=b'],
    ]) {
      const head = check({}, { url: url as string });
      assert(head.kind === 'ok');
      assert.equal(head.target, target);
    }
  });

  it('refuses targets with another host or without a plain form', () => {
    assert.equal(codeOf({}, { url: 'http://other/v1' }), 'request_ambiguous');
    assert.equal(codeOf({}, { url: 'http://h/v1' }), 'request_ambiguous');
    for (const url of [
      '',
      '*',
      'v1/x',
      'http:///v1',
      'http://u@h:1/',
      'ftp://h:1/',
      'h:1',
      '/a b',
      '/a\0',
      '/a\x7f',
      '/é',
      '/a#b',
      '/\t',
    ]) {
      assert.equal(codeOf({}, { url }), 'request_malformed', url);
    }
  });
});

describe('checkContentType', () => {
  const accepts = (type: string | null, rule: 'json' | 'multipart' | 'any'): boolean => {
    return checkContentType(type, rule) === null;
  };

  it('takes JSON types alone on JSON routes', () => {
    for (const type of ['application/json', 'Application/JSON; charset=utf-8', 'application/vnd.api+json']) {
      assert(accepts(type, 'json'), type);
    }
    for (const type of [
      null,
      '',
      'text/plain',
      'text/json',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/jsonx',
      'text/plain; application/json',
      'text/plain, application/json',
    ]) {
      assert(!accepts(type, 'json'), String(type));
    }
  });

  it('takes forms on multipart routes', () => {
    assert(accepts('multipart/form-data; boundary=x', 'multipart'));
    assert(!accepts('application/json', 'multipart'));
  });

  it('refuses the text types of web pages on routes that pass bodies unread', () => {
    assert(accepts('application/octet-stream', 'any'));
    for (const type of [null, 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded']) {
      assert(!accepts(type, 'any'));
    }
  });

  it('says what was found and what is expected', () => {
    assert.deepEqual(checkContentType(null, 'json'), {
      code: 'content_type',
      parameters: { contentType: '(none)', expected: 'application/json' },
    });
  });
});
