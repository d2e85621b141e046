import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unitOf } from './gather-service.ts';

const CASES: readonly (readonly [string, string, ReturnType<typeof unitOf>])[] = [
  ['a service', '0::/system.slice/vllm-gateway.service\n', { name: 'vllm-gateway.service', isUsers: false }],
  [
    'a service with a delegated group of its own',
    '0::/system.slice/vllm-gateway.service/engines\n',
    { name: 'vllm-gateway.service', isUsers: false },
  ],
  [
    "a service of the user's manager",
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/vllm-gateway.service\n',
    { name: 'vllm-gateway.service', isUsers: true },
  ],
  [
    'the old hierarchy',
    '12:pids:/a.service\n1:name=systemd:/system.slice/vllm-gateway.service\n',
    { name: 'vllm-gateway.service', isUsers: false },
  ],
  ['a session', '0::/user.slice/user-1000.slice/session-3.scope\n', null],
  [
    'a terminal of a desktop',
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n',
    null,
  ],
  ['a container', '0::/\n', null],
  ['no control groups', '', null],
];

for (const [name, text, expected] of CASES) {
  test(`the unit of ${name}`, () => {
    assert.deepEqual(unitOf(text), expected);
  });
}
