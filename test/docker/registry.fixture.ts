/**
 * A registry of one process, over plain HTTP on loopback, where the daemon of the tests lives. What a repository's name
 * says is what happens: `good` can be pulled, `slow` never ends, `private` wants a login, anything else is unknown.
 */
import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

const LAYER = gzipSync(Buffer.alloc(1024));
const CONFIG = Buffer.from(
  JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [digestOf(Buffer.alloc(1024))] },
  }),
);
const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';
const MANIFEST = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: {
      mediaType: 'application/vnd.docker.container.image.v1+json',
      size: CONFIG.length,
      digest: digestOf(CONFIG),
    },
    layers: [
      {
        mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
        size: LAYER.length,
        digest: digestOf(LAYER),
      },
    ],
  }),
);

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function answer(response: ServerResponse, status: number, type: string, body: Buffer): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': body.length,
    'Docker-Content-Digest': digestOf(body),
  });
  response.end(body);
}

function fail(response: ServerResponse, status: number, code: string): void {
  const body = JSON.stringify({ errors: [{ code, message: code.toLowerCase().replace('_', ' ') }] });
  answer(response, status, 'application/json', Buffer.from(body));
}

const server = createServer((request, response) => {
  const [, repository = '', kind = '', reference = ''] =
    /^\/v2\/([^/]+)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
  if (repository === '') return void response.end('{}');
  if (repository === 'private') return fail(response, 401, 'UNAUTHORIZED');
  if (repository !== 'good' && repository !== 'slow') return fail(response, 404, 'MANIFEST_UNKNOWN');
  if (kind === 'manifests') return answer(response, 200, MANIFEST_TYPE, MANIFEST);
  if (reference === digestOf(CONFIG)) return answer(response, 200, 'application/octet-stream', CONFIG);
  if (repository === 'slow') {
    response.writeHead(200, { 'Content-Length': LAYER.length });
    response.write(LAYER.subarray(0, 1));
    return;
  }
  return answer(response, 200, 'application/octet-stream', LAYER);
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
