/** Forms and other large bodies: what arrives, in whatever size, and what they leave behind. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MODEL } from './front-fixture.ts';
import {
  audioForm,
  formPart,
  MIB,
  openBodyFiles,
  PATH,
  readAndAnswer,
  sha256,
  startUploads,
  upload,
  uploadHead,
} from './upload-fixture.ts';

const LARGE = { server: { audioBodyLimitBytes: 64 * MIB } };

test('forms of every size arrive as they are, the file first and the model last, three at once', async (context) => {
  const { client, received, nothingHeld, ended } = await startUploads(context, LARGE);
  for (const bytes of [1, MIB - 1, MIB + 1, 30 * MIB]) {
    const form = audioForm(bytes);
    const clients = await Promise.all([client(), client(), client()]);
    const answers = await Promise.all(clients.map((raw) => raw.send(upload(form)).answer()));
    for (const answer of answers) {
      assert.equal(answer.status, 200, answer.body);
      assert.equal(answer.body, '{"text":"heard"}');
      assert.equal(answer.headers.get('x-model'), MODEL);
      assert.equal(answer.headers.get('x-load'), 'hot');
    }
    const hash = sha256(form);
    for (const { sha256: heard, request } of received.splice(0)) {
      assert.equal(heard, hash, `${bytes} bytes`);
      assert.equal(request.headers['content-length'], String(form.length));
    }
    await nothingHeld();
  }
  const ends = await ended(12);
  assert.equal(ends.at(-1)?.requestBytes, audioForm(30 * MIB).length);
});

test('forms without a length go to a file as well', async (context) => {
  const { client, received, nothingHeld } = await startUploads(context, LARGE);
  const form = audioForm(5 * MIB);
  const raw = (await client()).send(uploadHead('chunked'));
  for (let at = 0; at < form.length; at += 100_000) {
    const piece = form.subarray(at, at + 100_000);
    raw
      .send(`${piece.length.toString(16)}\r\n`)
      .send(piece)
      .send('\r\n');
  }
  assert.equal((await raw.send('0\r\n\r\n').answer()).status, 200);
  assert.equal(received[0]?.sha256, sha256(form));
  await nothingHeld();
});

test('another served name replaces the value of the part, and nothing else', async (context) => {
  const { client, received, nothingHeld } = await startUploads(context, {
    ...LARGE,
    servedName: 'org/a-longer-served-name',
    aliases: [{ pattern: 'whisper-*', model: MODEL, requestDefaults: {} }],
  });
  for (const bytes of [100, 3 * MIB]) {
    for (const name of [MODEL, 'whisper-1']) {
      const more = formPart('language', MODEL);
      const answer = await (await client()).send(upload(audioForm(bytes, name, more))).answer();
      assert.equal(answer.status, 200, answer.body);
      const expected = audioForm(bytes, 'org/a-longer-served-name', more);
      assert.equal(received.at(-1)?.sha256, sha256(expected));
      assert.equal(received.at(-1)?.bytes, expected.length);
    }
  }
  await nothingHeld();
});

test('a Content-Length of the part goes with the old name', async (context) => {
  const { client, received } = await startUploads(context, { servedName: 'longer/name' });
  const head = 'Content-Disposition: form-data; name="model"';
  const form = (lines: string, name: string) =>
    Buffer.from(
      audioForm(9, null)
        .toString('latin1')
        .replace(
          '\r\n------formdata',
          () => `\r\n------formdata-0123456789\r\n${lines}\r\n\r\n${name}\r\n------formdata`,
        ),
      'latin1',
    );
  const sent = form(`Content-Length: 2\r\n${head}`, MODEL);
  assert.equal((await (await client()).send(upload(sent)).answer()).status, 200);
  assert.equal(received[0]?.sha256, sha256(form(head, 'longer/name')));
});

test('the default model gets a part of its own in front', async (context) => {
  const { client, received } = await startUploads(context, {
    ...LARGE,
    servedName: 'served',
    defaultModel: MODEL,
  });
  for (const bytes of [100, 2 * MIB]) {
    const form = audioForm(bytes, null);
    assert.equal((await (await client()).send(upload(form)).answer()).status, 200);
    const expected = Buffer.concat([Buffer.from(formPart('model', 'served')), form]);
    assert.equal(received.at(-1)?.sha256, sha256(expected));
  }
});

test('path, query and header may name the model too, and then both agree', async (context) => {
  const { client, received, gate } = await startUploads(context, {
    servedName: 'served',
    aliases: [{ pattern: 'whisper', model: MODEL, requestDefaults: {} }],
  });
  const raw = await client();
  for (const [path, headers] of [
    [`/engines/${MODEL}${PATH}`, []],
    [`${PATH}?model=${MODEL}`, []],
    [PATH, [`X-Model: ${MODEL}`]],
  ] as const) {
    for (const name of ['whisper', MODEL, 'served']) {
      assert.equal((await raw.send(upload(audioForm(50, name), path, headers)).answer()).status, 200);
      assert.equal(received.at(-1)?.sha256, sha256(audioForm(50, 'served')));
    }
    const unnamed = audioForm(50, null);
    assert.equal((await raw.send(upload(unnamed, path, headers)).answer()).status, 200);
    assert.equal(received.at(-1)?.sha256, sha256(unnamed));
    const admitted = gate.details('admit').length;
    const answer = await raw.send(upload(audioForm(50, 'other'), path, headers)).answer();
    assert.equal(answer.status, 400);
    assert.match(answer.body, /"code":"model_conflict"/);
    assert.match(answer.body, /`m1`.*`other`/);
    assert.equal(gate.details('admit').length, admitted);
  }
});

test('a form that streams is known as one', async (context) => {
  const { client, ended, gate, model } = await startUploads(context);
  model.held = true;
  for (const [word, streams] of [
    ['true', true],
    ['false', false],
  ] as const) {
    const raw = (await client()).send(upload(audioForm(10, MODEL, formPart('stream', word))));
    await gate.until(({ waitingCount }) => waitingCount === 1);
    raw.close();
    const ends = await ended(streams ? 1 : 2);
    assert.equal(ends.at(-1)?.streamed, streams);
  }
});

test('forms that cannot be read are refused with what is wrong', async (context) => {
  const { client, gate, nothingHeld } = await startUploads(context, LARGE);
  const good = audioForm(100).toString('latin1');
  const cases: readonly (readonly [string, Buffer, number, RegExp])[] = [
    ['no body', Buffer.from(uploadHead(0)), 400, /"code":"model_unnamed"/],
    ['no model', upload(audioForm(100, null)), 400, /"code":"model_missing"/],
    ['an unknown model', upload(audioForm(100, 'm2')), 404, /"code":"model_not_found"/],
    ['an empty model', upload(audioForm(100, '')), 404, /"code":"model_not_found"/],
    ['two models', upload(audioForm(100, MODEL, formPart('model', MODEL))), 400, /"code":"model_duplicate"/],
    ['a long model', upload(audioForm(2 * MIB, 'm'.repeat(3000))), 400, /longer than 2048.*form_malformed/],
    ['a model that is no UTF-8', upload(Buffer.from(good.replace('m1', '\xff'), 'latin1')), 400, /not UTF-8/],
    [
      'a form without its end',
      upload(audioForm(2 * MIB).subarray(0, -8)),
      400,
      /ends before its last boundary/,
    ],
    ['another boundary', upload(Buffer.from('--x\r\n')), 400, /does not begin with its boundary/],
    [
      'no boundary',
      Buffer.from(
        `${uploadHead(0)
          .replace(/; boundary=.*/, '')
          .replace(': 0', ': 3')}abc`,
      ),
      400,
      /names no boundary/,
    ],
  ];
  for (const [what, bytes, status, expected] of cases) {
    const answer = await (await client()).send(bytes).answer();
    assert.equal(answer.status, status, what);
    assert.match(answer.body, expected, what);
  }
  assert.deepEqual(gate.events, []);
  await nothingHeld();
});

test('the limit holds, told or not', async (context) => {
  const { client, nothingHeld } = await startUploads(context, { server: { audioBodyLimitBytes: 2 * MIB } });
  const told = await (await client()).send(uploadHead(2 * MIB + 1)).answer();
  assert.equal(told.status, 413);
  const form = audioForm(2 * MIB);
  const untold = (await client())
    .send(uploadHead('chunked'))
    .send(`${form.length.toString(16)}\r\n`)
    .send(form);
  const answer = await untold.answer();
  assert.equal(answer.status, 413);
  assert.match(answer.body, /"code":"body_too_large"/);
  await nothingHeld();
});

test('the sum of all files has a bound', async (context) => {
  const { client, gate, model, nothingHeld } = await startUploads(context, {
    server: { audioBodyLimitBytes: 8 * MIB, bodySpoolBytes: 5 * MIB },
  });
  model.held = true;
  const form = audioForm(3 * MIB);
  const first = (await client()).send(upload(form));
  await gate.until(({ waitingCount }) => waitingCount === 1);
  const told = await (await client()).send(upload(form)).answer();
  assert.equal(told.status, 503);
  assert.equal(told.headers.get('retry-after'), '5');
  assert.match(told.body, /"code":"body_spool_full".*5 MiB|5 MiB.*"code":"body_spool_full"/);
  const untold = (await client())
    .send(uploadHead('chunked'))
    .send(`${form.length.toString(16)}\r\n`)
    .send(form);
  assert.equal((await untold.answer()).status, 503);
  // Small ones stay in memory.
  const small = (await client()).send(upload(audioForm(1000)));
  await gate.until(({ waitingCount }) => waitingCount === 2);
  model.held = false;
  gate.pump(MODEL);
  assert.equal((await first.answer()).status, 200);
  assert.equal((await small.answer()).status, 200);
  // Room is given back when a file is closed, which may take longer than an answer.
  await nothingHeld();
  assert.equal((await (await client()).send(upload(form)).answer()).status, 200);
  await nothingHeld();
});

test('files lie in the given directory and have no name there', async (context) => {
  const spoolDirectory = await mkdtemp(join(tmpdir(), 'spool-'));
  context.after(() => rm(spoolDirectory, { recursive: true }));
  const { client, gate, model, front } = await startUploads(context, { ...LARGE, spoolDirectory });
  model.held = true;
  const raw = (await client()).send(upload(audioForm(4 * MIB)));
  await gate.until(({ waitingCount }) => waitingCount === 1);
  assert.equal(openBodyFiles(), 1);
  assert.deepEqual(readdirSync(spoolDirectory), []);
  assert.deepEqual(front.bodyFiles, { bytes: audioForm(4 * MIB).length, open: 1 });
  assert.equal(front.heldBodyBytes, 0);
  raw.close();
  await gate.until(({ waitingCount }) => waitingCount === 0);
});

test('a directory that cannot be written to refuses large bodies only', async (context) => {
  const { client, nothingHeld } = await startUploads(context, {
    ...LARGE,
    spoolDirectory: '/nowhere/at/all',
  });
  const answer = await (await client()).send(upload(audioForm(2 * MIB))).answer();
  assert.equal(answer.status, 507);
  assert.match(answer.body, /"code":"body_not_stored"/);
  assert.match(answer.body, /ENOENT/);
  assert.equal((await (await client()).send(upload(audioForm(1000))).answer()).status, 200);
  await nothingHeld();
});

test('beneath /engines/ an object stays in memory and is read, anything else goes to a file', async (context) => {
  const { client, received, gate, model, front, nothingHeld } = await startUploads(context, {
    ...LARGE,
    servedName: 'served',
  });
  const post = (type: string, body: string) =>
    `POST /engines/${MODEL}/x HTTP/1.1\r\nHost: g\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const padding = 'a'.repeat(2 * MIB);
  const raw = await client();
  const conflict = await raw.send(post('application/json', `{"text":"${padding}","model":"other"}`)).answer();
  assert.match(conflict.body, /"code":"model_conflict"/);
  const spaces = ' '.repeat(2 * MIB);
  const late = await (await client())
    .send(post('application/octet-stream', `${spaces}{"model":"other"}`))
    .answer();
  assert.match(late.body, /"code":"model_conflict"/);
  assert.equal(
    (
      await (
        await client()
      )
        .send(post('application/json', `{"text":"${padding}","model":"${MODEL}"}`))
        .answer()
    ).status,
    200,
  );
  assert.equal(received.at(-1)?.sha256, sha256(Buffer.from(`{"text":"${padding}","model":"served"}`)));
  model.held = true;
  const bytes = (await client()).send(post('application/octet-stream', padding));
  await gate.until(({ waitingCount }) => waitingCount === 1);
  assert.equal(front.bodyFiles.open, 1);
  model.held = false;
  gate.pump(MODEL);
  assert.equal((await bytes.answer()).status, 200);
  assert.equal(received.at(-1)?.sha256, sha256(Buffer.from(padding)));
  await nothingHeld();
});

test('a lost connection in the middle of a file: it is sent again from its start', async (context) => {
  const fixture = await startUploads(context, { ...LARGE, servedName: 'another-name' });
  const { client, received, gate, nothingHeld } = fixture;
  fixture.handle = (request, response, index) => {
    if (index > 0) readAndAnswer(request, response, received);
    else request.once('data', () => request.socket.resetAndDestroy());
  };
  const answer = await (await client()).send(upload(audioForm(20 * MIB))).answer();
  assert.equal(answer.status, 200, answer.body);
  assert.equal(received[0]?.sha256, sha256(audioForm(20 * MIB, 'another-name')));
  assert.equal(gate.details('give_back').length, 1);
  await nothingHeld();
});

test('an engine that answers before it has read the file is heard', async (context) => {
  const fixture = await startUploads(context, LARGE);
  fixture.handle = (request, response) => {
    request.once('data', () => {
      request.pause();
      response.writeHead(413, { 'content-length': '3' });
      response.end('big');
    });
  };
  const answer = await (await fixture.client()).send(upload(audioForm(30 * MIB))).answer();
  assert.equal(answer.status, 413);
  assert.equal(answer.body, 'big');
  await fixture.nothingHeld();
  // And it streams an answer while it reads on.
  fixture.handle = (request, response) => {
    request.once('data', () => response.write('begun,'));
    let bytes = 0;
    request.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    request.on('end', () => response.end(String(bytes)));
  };
  const form = audioForm(30 * MIB);
  const streamed = await (await fixture.client()).send(upload(form)).answer();
  assert.equal(streamed.body, `begun,${form.length}`);
  await fixture.nothingHeld();
});
