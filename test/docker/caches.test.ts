/** What an engine sees of the gateway's own Hugging Face cache: the snapshots, and never the operator's tokens. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRecordingObserver } from '../../src/runtimes/recording-observer.ts';
import { openDockerWorld, program, specOf, temporaryDirectory } from './docker-world.ts';
import { openGateway } from './gateway-options.ts';

const world = await openDockerWorld();

for (const user of [null, '65534:65534']) {
  test(`tokens stay out, and libraries may write what they keep (user ${user ?? 'of the image'})`, {
    skip: world === null ? 'no Docker here' : false,
  }, async (t) => {
    assert.ok(world !== null);
    const directory = temporaryDirectory();
    const home = join(directory, 'hf');
    mkdirSync(join(home, 'hub'), { recursive: true, mode: 0o777 });
    for (const name of ['token', 'stored_tokens']) writeFileSync(join(home, name), 'secret');
    writeFileSync(join(home, 'hub', 'snapshot'), 'weights');
    const runtime = await openGateway({
      host: world.daemon.host,
      stateId: `cache-${user === null ? 'root' : 'user'}`,
      directory,
      config: { huggingFaceCache: null, user },
    });
    t.after(() => runtime.close());
    const heard = createRecordingObserver();
    const script = [
      'cat "$HF_HOME/token" "$HF_HOME/stored_tokens"; cat "$HF_HOME/hub/snapshot"; echo',
      'for d in "$HF_MODULES_CACHE" "$HF_XET_CACHE" "$HF_ASSETS_CACHE"; do mkdir -p "$d" && touch "$d/x" && echo written; done',
      'touch "$HF_HOME/hub/new"; echo done; sleep 300',
    ].join('; ');
    const result = await runtime.launch(await specOf(runtime, program(script)), heard);
    assert.ok(result.kind === 'launched', JSON.stringify(result));
    t.after(() => runtime.kill(result.handle));
    await heard.waitForLine(/^done/);
    assert.ok(!heard.lines.includes('secret'), heard.lines.join('\n'));
    assert.ok(heard.lines.includes('weights'));
    assert.equal(heard.lines.filter((line) => line === 'written').length, 3);
    assert.ok(user !== null || existsSync(join(home, 'hub', 'new')));
  });
}
