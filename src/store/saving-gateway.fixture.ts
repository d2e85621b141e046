/** Saves, changes and removes launch records, several at once, and tells each step that has resolved, until it is killed. */
import { writeSync } from 'node:fs';
import { recordFixture } from './launch-record-fixtures.ts';
import { openStateStore } from './state-store.ts';

const LANES = 4;
const [directory = ''] = process.argv.slice(2);
const opened = await openStateStore({ directory, onFault: (text) => process.stderr.write(`${text}\n`) });
if (!opened.ok) throw new Error(opened.error);
const { launches } = opened.value;

async function lane(name: string): Promise<void> {
  // Written at once: what is told must not wait in a buffer that dies with us, nor be told before it is so.
  const tell = (launchId: string, what: string): number => writeSync(1, `${launchId} ${what}\n`);
  for (let count = 0; ; count += 1) {
    const launchId = `${name}-${count}`;
    await launches.save({ ...recordFixture(launchId), stage: { kind: 'starting' } });
    tell(launchId, 'starting');
    await launches.setStage(launchId, { kind: 'serving' });
    tell(launchId, 'serving');
    if (count % 2 === 0) continue;
    await launches.remove(launchId);
    tell(launchId, 'gone');
  }
}

await Promise.all(Array.from({ length: LANES }, (_, index) => lane(`l${index}`)));
