/** Disks that are slow, stand still or lose what was given to them. */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { type TestContext, test } from 'node:test';
import { BodySpool, SPOOL_FLUSH_TIMEOUT_MS, SpoolWriter } from '../../src/http/body-spool.ts';
import { MODEL } from './front-fixture.ts';
import {
  audioForm,
  MIB,
  openBodyFiles,
  sha256,
  startUploads,
  truncateBodyFiles,
  upload,
} from './upload-fixture.ts';

const OPTIONS = { server: { audioBodyLimitBytes: 64 * MIB } };
/** What may wait for the disk, and what one read of the client's socket brings on top. */
const UNWRITTEN_BYTES_MAX = MIB + 2 * 64 * 1024;
const DEADLINE_MS = 30_000;

interface Disk {
  /** Writes that wait. */
  readonly held: number;
  /** From now on writes go through, and those that wait. */
  open(): void;
}

/** No file of this process takes a byte until the disk is opened. */
async function holdDisk(context: TestContext): Promise<Disk> {
  const probe = await open('/dev/null', 'r+');
  const prototype = Object.getPrototypeOf(probe) as typeof probe;
  await probe.close();
  const { write } = prototype;
  const waiting: (() => void)[] = [];
  let isOpen = false;
  const held = async function (this: typeof probe, ...args: Parameters<typeof write>): Promise<unknown> {
    if (!isOpen) await new Promise<void>((resolve) => waiting.push(resolve));
    return Reflect.apply(write, this, args);
  };
  // One of its overloads, which is all that the spool uses.
  context.mock.method(prototype, 'write', held as unknown as typeof write);
  return {
    get held() {
      return waiting.length;
    },
    open() {
      isOpen = true;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function untilTurn(holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!holds()) {
    assert.ok(performance.now() < deadlineMs, 'too long');
    await turns(1);
  }
}

test('a client is paused while the disk is behind, and goes on when it has caught up', async (context) => {
  const disk = await holdDisk(context);
  const { client, front, received, nothingHeld } = await startUploads(context, OPTIONS);
  const form = audioForm(20 * MIB);
  const raw = (await client()).send(upload(form));
  await untilTurn(() => front.heldBodyBytes > MIB && disk.held === 1);
  // In these all of it would have come: each reads what the system holds, which is some megabytes.
  await turns(500);
  assert.ok(front.heldBodyBytes <= UNWRITTEN_BYTES_MAX, `${front.heldBodyBytes} bytes wait for the disk`);
  assert.ok(raw.socket.writableLength > 0);
  disk.open();
  assert.equal((await raw.answer()).status, 200);
  assert.equal(received[0]?.sha256, sha256(form));
  await nothingHeld();
});

test('a client that leaves while it is paused is seen when the disk has caught up', async (context) => {
  const disk = await holdDisk(context);
  const { client, front, ended, gate, nothingHeld } = await startUploads(context, OPTIONS);
  const raw = (await client()).send(upload(audioForm(20 * MIB)));
  await untilTurn(() => front.heldBodyBytes > MIB && disk.held === 1);
  raw.close();
  await turns(50);
  disk.open();
  assert.equal((await ended(1))[0]?.outcome, 'left_waiting');
  assert.deepEqual(gate.events, []);
  await nothingHeld();
});

test('a disk that takes nothing has a limit after the last byte, and the file is closed when it is back', async (context) => {
  const disk = await holdDisk(context);
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const spool = new BodySpool(tmpdir(), 10 * MIB);
  let cause: string | null = null;
  const writer = new SpoolWriter(spool, {
    spoolWrote: () => undefined,
    spoolDrained: () => undefined,
    spoolDone: () => assert.fail('it was written'),
    spoolFailed: (why) => {
      cause = why;
    },
  });
  assert.ok(writer.append(Buffer.alloc(MIB)));
  await untilTurn(() => disk.held === 1);
  // Before the last byte it is the client's time that runs.
  context.mock.timers.tick(10 * SPOOL_FLUSH_TIMEOUT_MS);
  writer.finish();
  context.mock.timers.tick(SPOOL_FLUSH_TIMEOUT_MS - 1);
  assert.equal(cause, null);
  context.mock.timers.tick(1);
  assert.equal(cause, 'it took nothing for 60 s');
  // The system still has the write, so the file is still there.
  assert.deepEqual([spool.openFiles, spool.heldBytes], [1, MIB]);
  disk.open();
  await untilTurn(() => spool.openFiles === 0 && spool.heldBytes === 0);
});

test('a body that its file has lost is an error of ours, and no fault of the engine', async (context) => {
  const { client, gate, model, ended, nothingHeld } = await startUploads(context, OPTIONS);
  model.held = true;
  const raw = (await client()).send(upload(audioForm(4 * MIB)));
  await gate.until(({ waitingCount }) => waitingCount === 1);
  truncateBodyFiles(MIB);
  model.held = false;
  gate.pump(MODEL);
  const answer = await raw.answer();
  assert.equal(answer.status, 500);
  assert.match(answer.body, /"code":"body_lost"/);
  assert.match(answer.body, /it is shorter than it was/);
  assert.deepEqual(gate.details('finish'), ['cut']);
  assert.deepEqual(gate.details('give_back'), []);
  const [end] = await ended(1);
  assert.deepEqual([end?.outcome, end?.code, end?.status], ['refused', 'body_lost', 500]);
  await nothingHeld();
});

test('one that is lost when the answer has begun breaks the answer off', async (context) => {
  const fixture = await startUploads(context, OPTIONS);
  let goOn: () => void = () => undefined;
  fixture.handle = (request, response) => {
    request.once('data', () => {
      request.pause();
      response.write('begun');
    });
    goOn = () => void request.resume();
  };
  const raw = (await fixture.client()).send(upload(audioForm(30 * MIB)));
  await raw.until((received) => received.includes('begun'));
  assert.equal(openBodyFiles(), 1);
  truncateBodyFiles(0);
  goOn();
  const answer = await raw.answer();
  assert.deepEqual([answer.status, answer.complete], [200, false]);
  assert.deepEqual(fixture.gate.details('finish'), ['cut']);
  const [end] = await fixture.ended(1);
  assert.deepEqual([end?.outcome, end?.code], ['cut', 'body_lost']);
  await fixture.nothingHeld();
});
