import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultOf } from './docker-fault.ts';
import { isLimitRefused, launchFailureOf } from './launch-failure.ts';
import { pullFailureOf } from './pull-failure.ts';

const HOST = 'unix:///var/run/docker.sock';

test('Docker’s refusals of a container have a cause and a remedy', () => {
  const table: readonly (readonly [string, string, RegExp])[] = [
    ['could not select device driver "nvidia" with capabilities: [[gpu]]', 'resources', /nvidia-ctk/],
    [
      'OCI runtime create failed: nvidia-container-cli: device error: GPU-1: unknown device',
      'resources',
      /nvidia-smi -L/,
    ],
    ['error gathering device information while adding custom device "/dev/kfd"', 'resources', /ROCm/],
    ['Unable to find group render: no matching entries', 'resources', /made for ROCm/],
    ['invalid mount config for type "bind": bind source path does not exist: /x', 'resources', /must exist/],
    ['network vllm_network not found', 'resources', /docker network create/],
    ['could not find an available, non-overlapping IPv4 address pool', 'resources', /network prune/],
    ['Conflict. The container name "/a" is already in use by container "b"', 'resources', /another prefix/],
    ['mkdir /var/lib/docker/x: no space left on device', 'resources', /docker system df/],
    ['No such image: a:b', 'image_missing', /removed/],
    [
      'exec: "vllm": executable file not found in $PATH: unknown',
      'executable_missing',
      /image that has the program/,
    ],
    ['exec: "/x": permission denied: unknown', 'permission', /rights/],
    ['something new', 'resources', /refuses the container: something new/],
  ];
  for (const [text, cause, remedy] of table) {
    const failed = launchFailureOf(HOST, { status: 500, text, isUnreachable: false });
    assert.equal(failed.cause, cause, text);
    assert.match(failed.detail, remedy);
  }
});

test('a pull’s failures are told apart', () => {
  const table: readonly (readonly [string, string, RegExp])[] = [
    ['pull access denied for a/b, repository does not exist', 'image_missing', /docker login/],
    ['unauthorized: authentication required', 'image_missing', /docker login/],
    ['manifest for a/b:c not found: manifest unknown', 'image_missing', /name and tag/],
    [
      'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
      'image_missing',
      /cannot be reached/,
    ],
    ['net/http: request canceled (Client.Timeout exceeded)', 'image_missing', /cannot be reached/],
    ['write /var/lib/docker/tmp/x: no space left on device', 'resources', /make room/],
    [
      'toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit',
      'image_missing',
      /docker login.*or wait/,
    ],
    ['unexpected status from HEAD request: 429 Too Many Requests', 'image_missing', /docker login.*or wait/],
  ];
  for (const [text, cause, remedy] of table) {
    const failed = pullFailureOf('a/b:c', text);
    assert.equal(failed.cause, cause, text);
    assert.match(failed.detail, remedy);
  }
});

test('what the client library throws is read', () => {
  const refused = Object.assign(new Error('(HTTP code 409) unexpected - it is paused '), {
    statusCode: 409,
    json: { message: 'it is paused' },
  });
  assert.deepEqual(faultOf(refused), { status: 409, text: 'it is paused', isUnreachable: false });
  const bare = Object.assign(new Error('(HTTP code 500) server error - no '), { statusCode: 500 });
  assert.deepEqual(faultOf(bare), { status: 500, text: 'no', isUnreachable: false });
  const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  assert.deepEqual(faultOf(away), { status: null, text: 'connect ECONNREFUSED', isUnreachable: true });
  assert.equal(faultOf(new DOMException('late', 'TimeoutError')).isUnreachable, true);
  assert.equal(faultOf('odd').text, 'odd');
  assert.ok(
    isLimitRefused({ status: 500, text: 'error setting rlimit type 8: operation', isUnreachable: false }),
  );
});
