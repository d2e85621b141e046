/** A hub in a container of its own, with one repository; other containers reach it at port 8080. */
import { connect, createServer } from 'node:net';
import { startFakeFileHub } from '../fakes/fake-hub-files.ts';
import { safetensorsFile, TINY_CONFIG, TINY_TENSORS } from '../fixtures/model-files.ts';

const PORT = 8080;

const hub = await startFakeFileHub();
hub.repositories.set(process.argv[2] ?? '', {
  commit: '89abcdef0123456789abcdef0123456789abcdef',
  files: {
    'config.json': JSON.stringify({ ...TINY_CONFIG, max_position_embeddings: 131_072 }),
    'tokenizer.json': '{}',
    'model.safetensors': safetensorsFile(TINY_TENSORS),
  },
});
createServer((near) => {
  const far = connect(Number(new URL(hub.endpoint).port), '127.0.0.1');
  near.pipe(far).pipe(near);
  near.once('error', () => far.destroy());
  far.once('error', () => near.destroy());
}).listen(PORT, '0.0.0.0', () => process.stdout.write('ready\n'));
