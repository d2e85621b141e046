/** Another program takes ten gibibytes of a card in the middle of the work, and later gives them back. */
import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openLedger } from '../../src/engines/simulated/ledger.ts';
import { type LogLine, type RunningGateway, startGateway, until } from '../fixtures/gateway.ts';
import { createOriginalMachine } from '../fixtures/original-machine.ts';
import { chat } from '../fixtures/requests.ts';
import { sizedModel } from '../fixtures/sized-models.ts';
import { CARD_MIB, deviceId } from './host-plan.ts';
import { figures, runHost } from './host-run.ts';

const FOREIGN_MIB = 10_240;
/** Changes of foreign memory below this are not heeded. */
const STEP_MIB = 256;
const BEFORE_MS = 4_000;
const HELD_MS = 10_000;
const GIVES_WAY_MS = 60_000;

interface Card {
  readonly total_mib: number;
  readonly reserved_mib: number;
  readonly budget_mib: number;
  readonly foreign_mib: number | null;
}

async function cardOf(gateway: RunningGateway, id: string): Promise<Card> {
  const { gpus } = (await gateway.status()) as unknown as { readonly gpus: Readonly<Record<string, Card>> };
  const card = gpus[id];
  assert.ok(card, `no card ${id}`);
  return card;
}

/** What is reserved beyond what the foreign program leaves of the card. */
function excessMib({ total_mib, reserved_mib, budget_mib }: Card): number {
  return reserved_mib - Math.min(budget_mib, total_mib - FOREIGN_MIB + STEP_MIB);
}

const isHeeded = ({ foreign_mib }: Card): boolean => (foreign_mib ?? 0) >= FOREIGN_MIB - STEP_MIB;

/** Launches that ended by themselves although they were begun when the foreign memory was known. */
function lateDeaths(log: readonly LogLine[], knownAt: number): readonly string[] {
  const begun = new Set(
    log.slice(knownAt).flatMap((line) => (/^start /.test(line.msg) ? [line['launch']] : [])),
  );
  return log
    .filter((line) => /^engine of \S+ ended: /.test(line.msg) && begun.has(line['launch']))
    .map(({ msg }) => msg);
}

test('engines give way to it, nobody starts into it, and every request is answered', async () => {
  const card = deviceId(0);
  const seen = { knownAt: Number.POSITIVE_INFINITY, aboveMib: 0, log: [] as readonly LogLine[], back: false };
  const run = await runHost(
    { name: 'foreign memory', devices: [CARD_MIB, CARD_MIB], hostMemoryMib: 65_536, seed: 5 },
    {
      requests: 1_500,
      bursts: 8,
      beside: async (gateway) => {
        seen.log = gateway.log;
        const ledger = openLedger(join(gateway.directory, 'state', 'ledger'));
        const hold = (usedMib: number) =>
          ledger.claim(process.pid, 'foreign', [{ deviceId: card, usedMib }]).kind === 'claimed';
        await pause(BEFORE_MS);
        // As soon as so much is free, even if one of our engines was about to take it.
        await until('the foreign program has it', () => hold(FOREIGN_MIB), GIVES_WAY_MS);
        await until('it is known', async () => isHeeded(await cardOf(gateway, card)), GIVES_WAY_MS);
        seen.knownAt = gateway.log.length;
        const excess = async (): Promise<number> => excessMib(await cardOf(gateway, card));
        await until('engines have given way', async () => (await excess()) <= 0, GIVES_WAY_MS);
        for (const endMs = Date.now() + HELD_MS; Date.now() < endMs; await pause(50))
          seen.aboveMib = Math.max(seen.aboveMib, await excess());
        hold(0);
        await until('it is known to be gone', async () => (await cardOf(gateway, card)).foreign_mib === 0);
        seen.back = true;
      },
    },
  );
  console.log(figures(run));
  assert.ok(seen.back);
  assert.deepEqual(run.crowd.faults, []);
  assert.deepEqual(run.watched.overCommits, []);
  assert.equal(seen.aboveMib, 0, 'more was reserved than the foreign program leaves');
  assert.deepEqual(lateDeaths(seen.log, seen.knownAt), []);
  assert.equal(run.leftMib, 0);
});

const CARDS = ['GPU-aaaaaaaa', 'GPU-bbbbbbbb'] as const;
const LARGE_FOREIGN_MIB = 14_336;

test('where no driver names processes, a launch finds its card taken, and goes elsewhere', async () => {
  const machine = await createOriginalMachine(Object.fromEntries(CARDS.map((id) => [id, CARD_MIB])));
  const smi = `exec '${machine.directory}/bin/nvidia-smi' "$@"`;
  const nameless = `case "$*" in *compute-apps*) echo '[Not Supported]'; exit 0;; esac`;
  const tool = await machine.write('nameless-smi', `#!/bin/sh\n${nameless}\n${smi}\n`);
  await chmod(tool, 0o755);
  const models: Record<string, unknown> = {};
  for (const name of ['first', 'second'])
    models[name] = await sizedModel(machine.directory, name, {
      weightsMib: 11_000,
      keys: { engine: 'vllm' },
    });
  const gateway = await startGateway({
    config: {
      server: { shutdown_delay: 0, shutdown_drain: 5 },
      scheduling: { placement_mode: 'budget' },
      devices: { source: 'nvidia', nvidia_smi: [tool] },
      models,
    },
    environment: machine.environment,
  });
  try {
    const answered = async (model: string): Promise<void> => {
      const { status, text } = await chat(gateway.url, model);
      assert.equal(status, 200, text);
    };
    const cardsOf = async (model: string): Promise<readonly string[]> => {
      const { gpus } = await gateway.status();
      return CARDS.filter((id) => gpus[id]?.residents.includes(model));
    };
    await answered('first');
    const [taken] = await cardsOf('first');
    const other = CARDS.find((id) => id !== taken) ?? '';
    const ledger = openLedger(join(machine.directory, 'ledger'));
    const held = ledger.claim(process.pid, 'foreign', [{ deviceId: other, usedMib: LARGE_FOREIGN_MIB }]);
    assert.equal(held.kind, 'claimed');
    await answered('second');
    assert.ok(
      gateway.log.some(({ msg }) => /second was not launched, because its devices lack room/.test(msg)),
      'it was planned onto the other card first',
    );
    assert.deepEqual(await cardsOf('second'), [taken]);
    assert.ok(((await cardOf(gateway, other)).foreign_mib ?? 0) >= LARGE_FOREIGN_MIB - STEP_MIB);
    ledger.claim(process.pid, 'foreign', [{ deviceId: other, usedMib: 0 }]);
    await answered('first');
    assert.deepEqual(
      gateway.log.filter(({ msg }) => / ended: /.test(msg)),
      [],
    );
  } finally {
    await gateway.stop();
    await machine.remove();
  }
});
