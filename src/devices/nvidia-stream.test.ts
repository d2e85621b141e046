import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { shellTool } from '../../test/fixtures/device-tools.ts';
import { until } from '../../test/fixtures/gateway.ts';
import { VirtualClock } from '../core/virtual-clock.ts';
import { openNvidiaStream } from './nvidia-stream.ts';
import { createToolStreamer, type ToolStreamHandlers } from './tool-stream.ts';

interface World {
  readonly clock: VirtualClock;
  readonly opened: ToolStreamHandlers[];
  readonly seen: (readonly [string, number | null])[][];
  readonly troubles: (string | null)[];
  killed: number;
  readonly close: () => void;
}

/** A stream whose tool is the test. */
function world(gpuCount = 2): World {
  const clock = new VirtualClock();
  const opened: ToolStreamHandlers[] = [];
  const seen: World['seen'] = [];
  const troubles: World['troubles'] = [];
  const made = { clock, opened, seen, troubles, killed: 0, close: () => {} };
  made.close = openNvidiaStream({
    argv: ['nvidia-smi'],
    open: (_argv, handlers) => {
      opened.push(handlers);
      return () => {
        made.killed += 1;
      };
    },
    clock,
    gpuCount: () => gpuCount,
    usesOf: (gpus) => new Map(gpus.map(({ uuid, usedMib }) => [uuid, usedMib])),
    sink: {
      uses: (uses) => seen.push([...uses]),
      trouble: (condition) => troubles.push(condition?.code ?? null),
    },
  });
  return made;
}

function isGone(pid: string): boolean {
  try {
    return /\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return true;
  }
}

const line = (uuid: string, used: number): string => `0, ${uuid}, 100, ${used}, [N/A], L4`;

test('a round over the cards is one reading, and warnings in between are none', () => {
  const { opened, seen, close } = world();
  const [tool] = opened;
  for (const text of [line('GPU-a', 1), 'WARNING: infoROM', line('GPU-b', 2)]) tool?.line(text);
  assert.deepEqual(seen, [
    [
      ['GPU-a', 1],
      ['GPU-b', 2],
    ],
  ]);
  close();
});

test('S2: a card that is missing in a round is missing in the reading', () => {
  const { opened, seen, close } = world();
  for (const text of [line('GPU-a', 1), 'Unable to determine the device handle', line('GPU-a', 3)]) {
    opened[0]?.line(text);
  }
  assert.deepEqual(seen, [[['GPU-a', 1]]]);
  close();
});

test('S1: a tool that dies is started anew, each time later, until it has lived for a while', () => {
  const { clock, opened, seen, troubles, close } = world(1);
  for (const pauseMs of [1_000, 2_000, 4_000]) {
    const count = opened.length;
    opened.at(-1)?.ended('it ended with code 9');
    clock.advanceTo(clock.nowMs() + pauseMs - 1);
    assert.equal(opened.length, count);
    clock.advanceTo(clock.nowMs() + 1);
    assert.equal(opened.length, count + 1);
  }
  assert.deepEqual(troubles, Array(3).fill('nvidia_stream_ended'));
  for (let round = 0; round < 50; round += 1) {
    opened.at(-1)?.line(line('GPU-a', round));
    clock.advanceTo(clock.nowMs() + 250);
  }
  assert.equal(seen.length, 50);
  assert.equal(troubles.at(-1), null);
  close();
});

test('S1: a tool that falls silent is killed and started anew; lines without a card are silence', () => {
  const { clock, opened, troubles, close } = world(1);
  opened[0]?.line(line('GPU-a', 1));
  clock.advanceTo(4_999);
  opened[0]?.line('GPU is lost');
  assert.deepEqual(troubles, []);
  clock.advanceTo(5_000);
  assert.deepEqual(troubles, ['nvidia_tool_hung']);
  clock.advanceTo(6_000);
  assert.equal(opened.length, 2);
  close();
});

test('after close nothing is started and no timer is left', () => {
  const { clock, opened, troubles, close } = world(1);
  opened[0]?.ended('gone');
  close();
  clock.advanceTo(100_000);
  assert.deepEqual([opened.length, troubles.length, clock.pendingCount], [1, 1, 0]);
});

test('a real tool that hangs after a round is ended and started anew, and tells again', async (t) => {
  const { file, directory } = shellTool(
    t,
    'nvidia-smi',
    `echo $$ >> "$HERE/pids"; echo "${line('GPU-a', 7)}"; [ -e "$HERE/works" ] || exec sleep 600
while :; do echo "${line('GPU-a', 8)}"; sleep 0.05; done`,
  );
  const clock = new VirtualClock();
  const seen: (number | null | undefined)[] = [];
  const close = openNvidiaStream({
    argv: [file],
    open: createToolStreamer({ PATH: process.env['PATH'] }),
    clock,
    gpuCount: () => 1,
    usesOf: (gpus) => new Map(gpus.map(({ uuid, usedMib }) => [uuid, usedMib])),
    sink: { uses: (uses) => seen.push(uses.get('GPU-a')), trouble: () => {} },
  });
  t.after(close);
  await until('the first round', () => seen.length === 1);
  writeFileSync(join(directory, 'works'), '');
  clock.advanceTo(6_000);
  await until('it tells again', () => seen.includes(8));
  const [first] = readFileSync(join(directory, 'pids'), 'utf8').split('\n');
  await until('the one that hung is gone', () => isGone(first ?? ''));
});

test('a real tool: its lines arrive, and the end takes its whole group', async (t) => {
  const { file, directory } = shellTool(
    t,
    'nvidia-smi',
    'sleep 600 & echo $! > "$HERE/child"; printf "one\\ntw"; sleep 0.1; printf "o\\n"; wait',
  );
  const lines: string[] = [];
  const open = createToolStreamer({ PATH: process.env['PATH'] });
  const kill = open([file], { line: (text) => lines.push(text), ended: () => assert.fail('it was killed') });
  await until('both lines', () => lines.length === 2);
  assert.deepEqual(lines, ['one', 'two']);
  kill();
  const child = readFileSync(join(directory, 'child'), 'utf8').trim();
  await until('its child is gone', () => isGone(child));
});

test('a real tool that cannot be run or ends says so once', async () => {
  const open = createToolStreamer({ PATH: process.env['PATH'] });
  const told: string[] = [];
  open(['/no/such/tool'], { line: () => {}, ended: (detail) => told.push(detail) });
  open(['sh', '-c', 'exit 7'], { line: () => {}, ended: (detail) => told.push(detail) });
  await until('both are told', () => told.length === 2);
  assert.match(told.join('; '), /it cannot be run: .*ENOENT/);
  assert.match(told.join('; '), /it ended with code 7/);
});
