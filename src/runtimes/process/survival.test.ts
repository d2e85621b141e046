import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SurvivalFacts } from './survival.ts';
import { gatherSurvival, judgeSurvival } from './survival.ts';

const HOST: SurvivalFacts = {
  hasProcessTable: true,
  containerSign: null,
  hasOwnPidNamespace: false,
  ancestors: ['bash', 'sshd', 'systemd'],
  isInit: false,
};
const CONTAINER: SurvivalFacts = {
  ...HOST,
  containerSign: '/.dockerenv',
  hasOwnPidNamespace: true,
  ancestors: ['tini'],
};

const CASES: readonly (readonly [name: string, facts: SurvivalFacts, survives: boolean])[] = [
  ['on a host', HOST, true],
  ['on a host under a program that nobody knows', { ...HOST, ancestors: ['launcher'] }, true],
  ['without /proc', { ...HOST, hasProcessTable: false }, false],
  ['in a container below its init', CONTAINER, false],
  ['in a container below a shell and its init', { ...CONTAINER, ancestors: ['sh', 'docker-init'] }, false],
  ['as the first process of a container', { ...CONTAINER, ancestors: [], isInit: true }, false],
  [
    'in a container whose supervisor starts us anew',
    { ...CONTAINER, ancestors: ['s6-supervise', 's6-svscan'] },
    true,
  ],
  ['put into a container that runs already', { ...CONTAINER, ancestors: [] }, true],
  ['where a file of a container lies about on a host', { ...HOST, containerSign: '/.dockerenv' }, true],
  ['in a namespace that cannot be told', { ...CONTAINER, hasOwnPidNamespace: null }, false],
  ['in a namespace of its own that is no container', { ...CONTAINER, containerSign: null }, true],
];

for (const [name, facts, survives] of CASES) {
  test(`engines ${survives ? 'live on' : 'end with the gateway'} ${name}`, () => {
    const found = judgeSurvival(facts);
    assert.equal(found.survivesUs, survives);
    assert.equal(found.because === '', survives);
  });
}

test('the facts of this process can be gathered, and of a /proc that tells nothing', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'vg-proc-'));
  t.after(() => rm(root, { recursive: true }));
  const nothing = gatherSurvival(false, root);
  assert.deepEqual([nothing.hasOwnPidNamespace, nothing.ancestors], [null, []]);
  await mkdir(join(root, 'self/ns'), { recursive: true });
  await symlink('pid:[4026532999]', join(root, 'self/ns/pid'));
  for (const [pid, name, parent] of [
    [process.ppid, 'node (a) b', 1],
    [1, 'tini', 0],
  ] as const) {
    await mkdir(join(root, String(pid)));
    await writeFile(join(root, String(pid), 'stat'), `${pid} (${name}) S ${parent} 1 1 0\n`);
  }
  const facts = gatherSurvival(true, root);
  assert.deepEqual([facts.hasOwnPidNamespace, facts.ancestors], [true, ['node (a) b', 'tini']]);
});
