import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clientHeaders, isEventStream, upstreamHeaders } from './hop-headers.ts';

function up(rawHeaders: string[], endpointHeaders: Record<string, string> = {}): string[] {
  return upstreamHeaders(rawHeaders, { requestId: 'r', contentLength: null, endpointHeaders });
}

function down(rawHeaders: string[], extra: string[] = []) {
  const buffers = rawHeaders.map((part) => Buffer.from(part, 'latin1'));
  const result = clientHeaders(buffers, { requestId: 'r', hasLength: true, extra });
  assert.deepEqual(clientHeaders(rawHeaders, { requestId: 'r', hasLength: true, extra }), result);
  return result;
}

const OURS = ['x-request-id', 'r'];

describe('upstreamHeaders', () => {
  it('passes what it does not know, with its case, order and repetitions', () => {
    const sent = [
      'Content-Type',
      'application/json',
      'X-A',
      '1',
      'x-a',
      '2',
      'traceparent',
      '00-x',
      'User-Agent',
      'é',
    ];
    assert.deepEqual(up(sent), [...OURS, ...sent]);
  });

  it("never passes the client's credentials, cookies, forwarding or connection headers", () => {
    const secret = [
      'Authorization',
      'X-API-Key',
      'Cookie',
      'Proxy-Authorization',
      'Host',
      'Content-Length',
      'Connection',
      'Keep-Alive',
      'TE',
      'Trailer',
      'Transfer-Encoding',
      'Upgrade',
      'Proxy-Connection',
      'Expect',
      'Accept-Encoding',
      'X-Forwarded-For',
      'X-Forwarded-Whatever',
      'Forwarded',
      'Via',
      'X-Real-IP',
      'X-Request-Id',
      'X-Model',
      'HTTP2-Settings',
    ];
    for (const name of secret) {
      for (const written of [name, name.toLowerCase(), name.toUpperCase()]) {
        assert.deepEqual(up([written, 'x']), OURS, written);
      }
    }
  });

  it('drops what Connection names, wherever it stands', () => {
    const sent = [
      'X-One',
      '1',
      'Connection',
      'close, X-ONE',
      'x-two',
      '2',
      'connection',
      'x-two,',
      'X-Three',
      '3',
    ];
    assert.deepEqual(up(sent), [...OURS, 'X-Three', '3']);
  });

  it("puts the endpoint's headers in place of the client's", () => {
    assert.deepEqual(
      up(['OpenAI-Organization', 'client'], { 'openai-organization': 'ours', authorization: 'Bearer s' }),
      [...OURS, 'openai-organization', 'ours', 'authorization', 'Bearer s'],
    );
  });

  it('drops what would name another model behind the back of the body', () => {
    assert.deepEqual(up(['X-Amzn-SageMaker-Adapter-Identifier', 'other', 'X-Four', '4']), [
      ...OURS,
      'X-Four',
      '4',
    ]);
  });

  it('sets the length of the body as it is sent', () => {
    const options = { requestId: 'r', contentLength: 7, endpointHeaders: {} };
    assert.deepEqual(upstreamHeaders(['Content-Length', '9'], options), [...OURS, 'content-length', '7']);
  });
});

describe('clientHeaders', () => {
  it('passes what the engine sent, repeated headers included', () => {
    const sent = [
      'content-type',
      'application/json',
      'Set-Cookie',
      'a=1',
      'Set-Cookie',
      'b=2',
      'server',
      'uvicorn',
    ];
    const result = down([...sent, 'content-length', '5'], ['x-queue-depth', '0']);
    assert.deepEqual(result.headers, [...OURS, ...sent, 'content-length', '5', 'x-queue-depth', '0']);
    assert.deepEqual([result.eventStream, result.contentLength], [false, 5]);
  });

  it('ends connection headers here and says the request id itself', () => {
    const sent = [
      'Connection',
      'keep-alive, X-Hop',
      'Keep-Alive',
      'timeout=5',
      'X-Hop',
      '1',
      'X-Request-Id',
      'theirs',
    ];
    assert.deepEqual(down(['x-hop', '0', ...sent, 'x-kept', '1']).headers, [...OURS, 'x-kept', '1']);
  });

  it('lets no engine say which pages may read its answers', () => {
    const sent = [
      'Access-Control-Allow-Origin',
      '*',
      'access-control-expose-headers',
      'x',
      'accept-ranges',
      'none',
    ];
    assert.deepEqual(down(sent).headers, [...OURS, 'accept-ranges', 'none']);
  });

  it('knows no length for chunked answers', () => {
    const result = down(['Transfer-Encoding', 'chunked', 'Content-Length', '5']);
    assert.deepEqual(result, { headers: OURS, eventStream: false, contentLength: null });
  });

  it('keeps proxies from holding event streams back', () => {
    const sent = ['Content-Type', 'text/event-stream; charset=utf-8'];
    const result = down([...sent, 'X-Accel-Buffering', 'yes']);
    const ours = ['cache-control', 'no-cache', 'x-accel-buffering', 'no'];
    assert.deepEqual(result.headers, [...OURS, ...sent, ...ours]);
    assert(result.eventStream);
  });

  it('forbids caching event streams where their engine does not', () => {
    const type = ['content-type', 'text/event-stream'];
    for (const [said, kept] of [
      ['no-store', 'no-store'],
      ['No-Cache, no-transform', 'No-Cache, no-transform'],
      ['max-age=60', 'no-cache'],
    ] as const) {
      const { headers } = down([...type, 'Cache-Control', said]);
      assert.deepEqual(headers, [...OURS, ...type, 'Cache-Control', kept, 'x-accel-buffering', 'no']);
    }
    assert.ok(!down(['content-type', 'application/json']).headers.includes('no-cache'));
  });

  it('carries bytes outside ASCII as they came', () => {
    assert.deepEqual(down(['x-a', '\u00e9\u00ff']).headers, [...OURS, 'x-a', '\u00e9\u00ff']);
  });
});

describe('isEventStream', () => {
  it('looks at the media type alone', () => {
    for (const type of ['text/event-stream', 'Text/Event-Stream ;x=1']) assert(isEventStream(type));
    for (const type of ['', 'application/json', 'text/event-streams', 'x; text/event-stream']) {
      assert(!isEventStream(type));
    }
  });
});
