import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { writeDirectly } from './direct-write.ts';

/** Two ends of one connection. */
async function pair(context: TestContext): Promise<{ readonly near: Socket; readonly far: Socket }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  context.after(() => {
    near.destroy();
    far.destroy();
  });
  return { near, far };
}

/** Sends pieces one after the other, the reader asleep at first, and returns what arrived. */
async function sent(
  context: TestContext,
  pieces: readonly number[],
  write: (socket: Socket, bytes: Uint8Array) => boolean,
): Promise<{ readonly arrived: Buffer; readonly accepted: readonly boolean[] }> {
  const { near, far } = await pair(context);
  const accepted = pieces.map((length, index) => write(near, Buffer.alloc(length, 0x61 + (index % 26))));
  near.end();
  const chunks: Buffer[] = [];
  for await (const chunk of far) chunks.push(chunk as Buffer);
  return { arrived: Buffer.concat(chunks), accepted };
}

test('the bytes on the wire are those of the plain way, also when the socket is full', async (context) => {
  const piece = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 2_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 100_000, max: 6_000_000 }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 12 }), async (pieces) => {
      const direct = await sent(context, pieces, writeDirectly);
      const plain = await sent(context, pieces, (socket, bytes) => socket.write(bytes));
      assert.ok(direct.arrived.equals(plain.arrived));
    }),
    { numRuns: 25 },
  );
});

test('a full socket says so, and tells when it has room again', async (context) => {
  const { near, far } = await pair(context);
  let writes = 0;
  while (writeDirectly(near, Buffer.alloc(100_000, 0x78))) assert.ok(++writes < 10_000);
  const drained = once(near, 'drain');
  far.resume();
  await drained;
  assert.equal(near.writableLength, 0);
});

test('a connection that the other end has reset breaks as usual', async (context) => {
  const { near, far } = await pair(context);
  const errors: Error[] = [];
  near.on('error', (error) => errors.push(error));
  const closed = new Promise((resolve) => near.once('close', resolve));
  far.resetAndDestroy();
  const timer = setInterval(() => writeDirectly(near, Buffer.from('x')), 5);
  context.after(() => clearInterval(timer));
  await closed;
  assert.equal(errors.length, 1);
});
