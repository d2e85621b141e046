/** What /gateway/status says of the devices' memory: who uses it, and what is not ours. */
import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLedger } from '../../src/engines/simulated/ledger.ts';
import {
  processesNaming,
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { createOriginalMachine, FOREIGN_MIB } from '../fixtures/original-machine.ts';
import { chat } from '../fixtures/requests.ts';

interface GpuMemory {
  readonly used_mib: number;
  readonly foreign_mib: number | null;
  readonly foreign_source: string | null;
}

async function memoryOf(gateway: RunningGateway, id: string): Promise<GpuMemory> {
  const { gpus } = (await (await fetch(`${gateway.url}/gateway/status`)).json()) as {
    readonly gpus: Readonly<Record<string, GpuMemory>>;
  };
  const found = gpus[id];
  assert.ok(found, `no device ${id}`);
  return found;
}

test('a foreign program on a simulated device is told from our engine, when it comes, grows and goes', async () => {
  const gateway = await startGateway({ config: simulatedConfig({ a: simulatedModel() }) });
  try {
    await until('ready', async () => (await fetch(`${gateway.url}/ready`)).status === 200);
    const ledger = openLedger(join(gateway.directory, 'state', 'ledger'));
    const hold = (usedMib: number) =>
      ledger.claim(process.pid, 'foreign', [{ deviceId: 'sim-gpu-0', usedMib }]);
    const expect = (what: string, foreignMib: number) =>
      until(what, async () => {
        const { used_mib, foreign_mib, foreign_source } = await memoryOf(gateway, 'sim-gpu-0');
        const engineMib = used_mib - foreignMib;
        return foreign_mib === foreignMib && foreign_source === 'per_process' && engineMib >= 9_000;
      });
    hold(2_000);
    await chat(gateway.url, 'a');
    await expect('it is foreign', 2_000);
    hold(3_000);
    await expect('it has grown', 3_000);
    hold(0);
    await expect('it has gone', 0);
  } finally {
    await gateway.stop();
  }
});

test('what a foreign program holds is not given away: a model waits for it, and is served when it goes', async () => {
  const config = simulatedConfig({ a: simulatedModel(), small: simulatedModel({ memoryMib: 2_000 }) });
  const gateway = await startGateway({ config });
  try {
    await until('ready', async () => (await fetch(`${gateway.url}/ready`)).status === 200);
    const ledger = openLedger(join(gateway.directory, 'state', 'ledger'));
    ledger.claim(process.pid, 'foreign', [{ deviceId: 'sim-gpu-0', usedMib: 12_000 }]);
    // A start makes readings come often; at rest they come every ten seconds.
    assert.equal((await chat(gateway.url, 'small')).status, 200);
    await until('it is heeded', async () => (await memoryOf(gateway, 'sim-gpu-0')).foreign_mib === 12_000);
    const waiting = chat(gateway.url, 'a');
    const why = await until('it waits', async () => {
      const { models } = await gateway.status();
      return models.a?.waiting === 1 ? models.a.why : null;
    });
    assert.match(why, /programs that are not ours take 1\d{4} MiB/);
    assert.equal(await gateway.metric('vllm_gateway_engine_moves_total{model="a",move="start"}'), 0);
    ledger.claim(process.pid, 'foreign', [{ deviceId: 'sim-gpu-0', usedMib: 0 }]);
    assert.equal((await waiting).status, 200);
  } finally {
    await gateway.stop();
  }
});

const CARD = 'GPU-11111111-2222-3333-4444-555555555555';

test('cards are read by one long-lived tool while an engine starts, which ends with the gateway', async () => {
  const machine = await createOriginalMachine({ [CARD]: 24_564 }, ['acme/m']);
  const calls = join(machine.directory, 'calls');
  const tool = await machine.write(
    'recording-smi',
    `#!/bin/sh\necho "$*" >> '${calls}'\nexec '${machine.directory}/bin/nvidia-smi' "$@"\n`,
  );
  await chmod(tool, 0o755);
  await writeFile(calls, '');
  const gateway = await startGateway({
    config: {
      server: { shutdown_delay: 0, shutdown_drain: 5 },
      devices: { source: 'nvidia', nvidia_smi: [tool] },
      models: { m: { repo: 'acme/m', max_model_len: 1024 } },
    },
    environment: machine.environment,
  });
  try {
    await chat(gateway.url, 'm');
    await until('what others hold is told apart', async () => {
      const { used_mib, foreign_mib, foreign_source } = await memoryOf(gateway, CARD);
      return foreign_mib === FOREIGN_MIB && foreign_source === 'per_process' && used_mib > 10_000;
    });
    const streams = (await readFile(calls, 'utf8')).split('\n').filter((line) => line.includes('-lms 250'));
    assert.equal(streams.length, 1);
  } finally {
    await gateway.stop();
    await until('no tool is left', async () => (await processesNaming(machine.directory)).length === 0);
    await machine.remove();
  }
});

test('a card that falls off the bus leaves the inventory with a condition', async () => {
  const machine = await createOriginalMachine({ 'GPU-aaaa': 24_564, 'GPU-bbbb': 24_564 }, ['acme/m']);
  const marker = join(machine.directory, 'lost');
  const lose = `grep -v GPU-bbbb; echo "Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost"`;
  const tool = await machine.write(
    'failing-smi',
    `#!/bin/sh\nif [ -e '${marker}' ]; then '${machine.directory}/bin/nvidia-smi' "$@" | { ${lose}; }; exit 15; fi\nexec '${machine.directory}/bin/nvidia-smi' "$@"\n`,
  );
  await chmod(tool, 0o755);
  const gateway = await startGateway({
    config: {
      server: { shutdown_delay: 0, shutdown_drain: 5 },
      devices: { source: 'nvidia', nvidia_smi: [tool] },
      models: { m: { repo: 'acme/m', max_model_len: 1024 } },
    },
    environment: machine.environment,
  });
  const codes = async (): Promise<readonly string[]> => {
    const status = (await gateway.status()) as unknown as {
      readonly conditions: readonly { readonly code: string }[];
    };
    return status.conditions.map(({ code }) => code);
  };
  try {
    await until('both are there', async () => Object.keys((await gateway.status()).gpus).length === 2);
    await writeFile(marker, '');
    // Readings are rare until something moves.
    await chat(gateway.url, 'm');
    await until('one is gone', async () => Object.keys((await gateway.status()).gpus).length === 1);
    // The list of processes may have failed too by now: that is a condition of its own.
    const told = await codes();
    for (const code of ['device_gone', 'nvidia_device_lost']) assert.ok(told.includes(code), told.join());
    assert.ok(gateway.log.some(({ condition }) => condition === 'device_gone'));
  } finally {
    await gateway.stop();
    await machine.remove();
  }
});
