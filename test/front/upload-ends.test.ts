/** Uploads that end before their time, in every phase: files are closed, and nothing stays counted. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { BodySpool, type SpooledBody, SpoolWriter } from '../../src/http/body-spool.ts';
import { MODEL } from './front-fixture.ts';
import { audioForm, MIB, openBodyFiles, startUploads, upload, uploadHead } from './upload-fixture.ts';

const OPTIONS = { server: { audioBodyLimitBytes: 512 * MIB, bodySpoolBytes: 1024 * MIB } };

test('a client that leaves while its form comes', async (context) => {
  const { client, ended, front, gate, nothingHeld } = await startUploads(context, OPTIONS);
  const form = audioForm(8 * MIB);
  const raw = (await client()).send(uploadHead(form.length)).send(form.subarray(0, 4 * MIB));
  while (front.bodyFiles.open === 0) await new Promise((resolve) => setImmediate(resolve));
  raw.close();
  assert.equal((await ended(1))[0]?.outcome, 'left_waiting');
  assert.deepEqual(gate.events, []);
  await nothingHeld();
});

test('clients that leave while they wait, and those that are refused then', async (context) => {
  const { client, ended, gate, model, nothingHeld } = await startUploads(context, OPTIONS);
  model.held = true;
  const leaving = (await client()).send(upload(audioForm(4 * MIB)));
  const refused = (await client()).send(upload(audioForm(4 * MIB)));
  await gate.until(({ waitingCount }) => waitingCount === 2);
  assert.equal(openBodyFiles(), 2);
  leaving.close();
  await ended(1);
  gate.refuseWaiting(MODEL, { code: 'shutting_down', parameters: {} });
  assert.equal((await refused.answer()).status, 503);
  await nothingHeld();
});

test('a client that leaves while its form goes to the engine, and one that is cut', async (context) => {
  const fixture = await startUploads(context, OPTIONS);
  const { client, gate, nothingHeld } = fixture;
  const closed: Promise<void>[] = [];
  let began = 0;
  let notify: () => void = () => undefined;
  fixture.handle = (request) => {
    request.once('data', () => request.pause());
    closed.push(new Promise((resolve) => request.socket.once('close', () => resolve())));
    began += 1;
    notify();
  };
  const untilBegan = async (count: number): Promise<void> => {
    while (began < count) await new Promise<void>((resolve) => (notify = resolve));
  };
  const leaving = (await client()).send(upload(audioForm(30 * MIB)));
  await untilBegan(1);
  leaving.close();
  await gate.until(({ runningCount }) => runningCount === 0);
  await nothingHeld();
  const cut = (await client()).send(upload(audioForm(30 * MIB)));
  await untilBegan(2);
  fixture.model.held = true;
  gate.cutRunning(MODEL, { code: 'shutting_down', parameters: {} });
  await gate.until(({ waitingCount }) => waitingCount === 1);
  // It waits again, and its file with it.
  assert.equal(openBodyFiles(), 1);
  gate.refuseWaiting(MODEL, { code: 'shutting_down', parameters: {} });
  assert.equal((await cut.answer()).status, 503);
  await nothingHeld();
});

test('a client that leaves in the middle of the answer', async (context) => {
  const fixture = await startUploads(context, OPTIONS);
  fixture.handle = (request, response) => {
    request.resume();
    request.on('end', () => response.write('begun'));
  };
  const raw = (await fixture.client()).send(upload(audioForm(3 * MIB)));
  await raw.until((received) => received.includes('begun'));
  // The body will not be sent again.
  await fixture.nothingHeld();
  raw.close();
  await fixture.gate.until(({ runningCount }) => runningCount === 0);
});

test('memory does not grow by the size of a form', async (context) => {
  const { client, received, nothingHeld } = await startUploads(context, OPTIONS);
  const tail = 300 * MIB;
  const form = audioForm(1000);
  const piece = Buffer.alloc(MIB, 'x');
  const raw = (await client()).send(uploadHead(form.length + tail)).send(form.subarray(0, 500));
  const before = process.memoryUsage().rss;
  let most = before;
  for (let sent = 0; sent < tail; sent += MIB) {
    if (!raw.socket.write(piece)) await once(raw.socket, 'drain');
    most = Math.max(most, process.memoryUsage().rss);
  }
  raw.send(form.subarray(500));
  const looking = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 5);
  assert.equal((await raw.answer()).status, 200);
  clearInterval(looking);
  assert.equal(received[0]?.bytes, form.length + tail);
  assert.ok(most - before < tail / 2, `it grew by ${Math.round((most - before) / MIB)} MiB`);
  await nothingHeld();
});

/** Every write finds the disk full. */
class FullDisk extends BodySpool {
  override async openFile() {
    const file = await super.openFile();
    await file.close();
    return open('/dev/full', 'r+');
  }
}

function spooled(spool: BodySpool, chunks: readonly Buffer[]): Promise<SpooledBody | string> {
  return new Promise((resolve) => {
    const writer = new SpoolWriter(spool, {
      spoolWrote: () => undefined,
      spoolDrained: () => undefined,
      spoolDone: resolve,
      spoolFailed: resolve,
    });
    for (const chunk of chunks) assert.ok(writer.append(chunk));
    writer.finish();
  });
}

async function untilClosed(spool: BodySpool): Promise<void> {
  while (spool.openFiles > 0 || spool.heldBytes > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('a full disk is told, and nothing stays held', async () => {
  const spool = new FullDisk(tmpdir(), 10 * MIB);
  const cause = await spooled(spool, [Buffer.alloc(MIB)]);
  assert.match(String(cause), /ENOSPC/);
  await untilClosed(spool);
});

test('a body closes its file with its last holder, once', async () => {
  const spool = new BodySpool(tmpdir(), 10 * MIB);
  const body = await spooled(spool, [Buffer.from('abc'), Buffer.from('def')]);
  assert.ok(typeof body !== 'string');
  const target = Buffer.alloc(10);
  assert.equal(await body.read(target, 2), 4);
  assert.equal(target.toString('latin1', 0, 4), 'cdef');
  body.retain();
  body.release();
  assert.equal(spool.openFiles, 1);
  body.release();
  await untilClosed(spool);
  assert.throws(() => body.release());
  assert.throws(() => body.retain());
});
