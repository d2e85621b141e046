/** Who keeps the devices and for how long: at the end of the drain time, within the minimum residence, after a start without memory. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { chat, isCompleteStream, untilCounts } from '../fixtures/requests.ts';
import { sizedModel } from '../fixtures/sized-models.ts';

interface SizedStatus {
  readonly models: Readonly<
    Record<string, { readonly memory: { source: string; per_device_mib: number | null } }>
  >;
}

/** A quick swap, and answers of about 40 ms a token. */
function model(keys: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return simulatedModel({ loadSeconds: 0.05, args: ['--sim-tokens-per-second', 25], keys });
}

/** One device, and turns that end as soon as somebody waits. */
function machine(models: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return simulatedConfig(models, { scheduling: { switch_share: 0.9 } });
}

/** Alone on its card, it has a stream under way when another model is asked for. */
async function streamAgainstOther(
  gateway: RunningGateway,
  tokens: number,
): Promise<{ readonly stream: string; readonly other: number; readonly first: 'stream' | 'other' }> {
  const ended: ('stream' | 'other')[] = [];
  const stream = chat(gateway.url, 'long', { stream: true, tokens }).finally(() => ended.push('stream'));
  await untilCounts(gateway, 'long', { running: 1, waiting: 0 });
  const other = chat(gateway.url, 'other').finally(() => ended.push('other'));
  const { text } = await stream;
  const { status } = await other;
  return { stream: text, other: status, first: ended[0] ?? 'other' };
}

/** When the first such line was written. */
function loggedMs({ log }: RunningGateway, pattern: RegExp): number {
  return Date.parse(String(log.find(({ msg }) => pattern.test(msg))?.['time']));
}

describe('turns', { concurrency: true }, () => {
  test('a stream that outlasts the drain time is cut with an error frame, and the other model is served', async () => {
    const gateway = await startGateway({
      config: machine({ long: model({ drain_timeout: 1 }), other: model() }),
    });
    try {
      const { stream, other, first } = await streamAgainstOther(gateway, 10_000);
      assert.deepEqual({ other, first }, { other: 200, first: 'stream' });
      assert.ok(!isCompleteStream(stream));
      const frames = stream.split('\n\n').filter((frame) => frame !== '');
      const { error } = JSON.parse((frames.at(-1) ?? '').replace(/^data: /, '')) as {
        readonly error: { readonly code: string; readonly message: string };
      };
      assert.equal(error.code, 'drain_cut');
      assert.match(error.message, /ended after 1 s because other models wait for the devices of `long`/);
      assert.ok(frames.length > 2, 'it had begun');
    } finally {
      await gateway.stop();
    }
  });

  test('with `wait` it ends in its own time, and the other model is served then', async () => {
    const keys = { drain_timeout: 1, on_drain_timeout: 'wait' };
    const gateway = await startGateway({
      config: machine({ long: model(keys), other: model() }),
    });
    try {
      const { stream, other, first } = await streamAgainstOther(gateway, 60);
      assert.deepEqual({ other, first }, { other: 200, first: 'stream' });
      assert.ok(isCompleteStream(stream), stream.slice(-300));
      assert.equal(stream.match(/"delta":\{"content"/g)?.length, 60);
      assert.ok(
        loggedMs(gateway, /^stop long/) - loggedMs(gateway, /^drain long/) >= 1000,
        'its drain time was over',
      );
    } finally {
      await gateway.stop();
    }
  });

  test('an idle model keeps its device for its minimum residence', async () => {
    const gateway = await startGateway({
      config: machine({ resident: model({ min_residence: 2 }), other: model() }),
    });
    try {
      for (const name of ['resident', 'other']) assert.equal((await chat(gateway.url, name)).status, 200);
      const leftMs = loggedMs(gateway, /^(stop|sleep) resident/);
      // Two lines of a log, each written some milliseconds after what it tells.
      assert.ok(leftMs - loggedMs(gateway, /^engine of resident is ready/) >= 1950, 'not before its time');
      assert.ok(loggedMs(gateway, /^engine of other is ready/) > leftMs);
    } finally {
      await gateway.stop();
    }
  });

  test('a start without enough memory is tried once more with a larger reservation, then its cause is told', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'vg-short-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    const short = await sizedModel(directory, 'short', {
      weightsMib: 4000,
      loadSeconds: 0.02,
      args: ['--sim-fault', 'oom@start'],
    });
    const config = simulatedConfig({ short }, { scheduling: { placement_mode: 'budget' } });
    const gateway = await startGateway({ config });
    try {
      const sizeOf = async () => ((await gateway.status()) as unknown as SizedStatus).models['short']?.memory;
      const before = await until('it is computed', async () => {
        const size = await sizeOf();
        return size?.source === 'computed' ? size : null;
      });
      const { status, headers, text } = await chat(gateway.url, 'short');
      const { error } = JSON.parse(text) as { readonly error: { readonly code: string; message: string } };
      assert.deepEqual([status, error.code], [503, 'start_failed'], text);
      assert.match(error.message, /out of memory/i);
      assert.ok(Number(headers.get('retry-after')) >= 1);
      const after = await sizeOf();
      assert.equal(after?.source, 'corrected');
      assert.ok((after.per_device_mib ?? 0) > (before.per_device_mib ?? 0));
      assert.equal(gateway.log.filter(({ msg }) => msg === 'engine launched').length, 2);
      assert.ok(gateway.log.some(({ msg }) => /^short: its estimate was corrected from \d+ MiB/.test(msg)));
    } finally {
      await gateway.stop();
    }
  });
});
