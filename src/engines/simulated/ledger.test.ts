import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { until } from '../../../test/fakes/waiting.ts';
import { type Ledger, openLedger, prepareLedger, processStartTime } from './ledger.ts';

const CLAIMER = fileURLToPath(new URL('../../../test/fakes/ledger-claimer.ts', import.meta.url));

function ledgerOf(t: TestContext, ...totals: number[]): Ledger {
  const directory = mkdtempSync(join(tmpdir(), 'ledger-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return prepareLedger(
    directory,
    totals.map((totalMib, index) => ({ id: `d${index}`, name: `Device ${index}`, totalMib })),
  );
}

/** A process that does nothing until the test ends. */
async function sleepingProcess(t: TestContext): Promise<{ pid: number; kill: () => Promise<unknown> }> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const exited = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  return {
    pid: child.pid ?? 0,
    kill: () => {
      child.kill('SIGKILL');
      return exited;
    },
  };
}

test('host memory has claims of its own, which no device shows', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ledger-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const devices = [{ id: 'd0', name: 'Device 0', totalMib: 1000 }];
  const ledger = prepareLedger(directory, devices, 500);
  assert.deepEqual(ledger.host(), { totalMib: 500, usedMib: 0, claims: [] });
  assert.equal(ledger.claimHost(process.pid, 'p', 400).kind, 'claimed');
  ledger.claim(process.pid, 'p', [{ deviceId: 'd0', usedMib: 700 }]);
  const host = openLedger(directory).host();
  assert.deepEqual([host?.usedMib, host?.claims.map((held) => held.pid)], [400, [process.pid]]);
  assert.deepEqual(
    ledger.read().map((use) => use.usedMib),
    [700],
  );
  assert.equal(ledger.claimHost(process.pid, 'p', 501).kind, 'refused');
  assert.equal(ledger.host()?.usedMib, 400);
  ledger.release(process.pid);
  assert.equal(ledger.host()?.usedMib, 0);
});

test('without host memory in the ledger there is none to run out of', (t) => {
  const ledger = ledgerOf(t, 1000);
  assert.equal(ledger.claimHost(process.pid, 'p', 1e9).kind, 'claimed');
  assert.equal(ledger.host(), null);
});

test('a claim replaces the process’s own, and is refused as a whole beyond the memory', async (t) => {
  const ledger = ledgerOf(t, 1000, 1000);
  const other = await sleepingProcess(t);
  const claim = (pid: number, d0: number, d1: number): string =>
    ledger.claim(pid, 'p', [
      { deviceId: 'd0', usedMib: d0 },
      { deviceId: 'd1', usedMib: d1 },
    ]).kind;
  const used = (): number[] => ledger.read().map((use) => use.usedMib);
  assert.equal(claim(process.pid, 600, 100), 'claimed');
  assert.equal(claim(process.pid, 500, 200), 'claimed');
  assert.deepEqual(used(), [500, 200]);
  assert.deepEqual(
    ledger.claim(other.pid, 'p', [
      { deviceId: 'd0', usedMib: 500 },
      { deviceId: 'd1', usedMib: 801 },
    ]),
    { kind: 'refused', deviceId: 'd1', freeMib: 800, totalMib: 1000 },
  );
  assert.deepEqual(used(), [500, 200]);
  assert.equal(claim(other.pid, 500, 800), 'claimed');
  ledger.release(process.pid);
  assert.deepEqual(used(), [500, 800]);
});

test('a claim of a process that died is free at once', async (t) => {
  const ledger = ledgerOf(t, 1000);
  const holder = await sleepingProcess(t);
  const all = [{ deviceId: 'd0', usedMib: 1000 }];
  assert.equal(ledger.claim(holder.pid, 'holder', all).kind, 'claimed');
  assert.equal(ledger.claim(process.pid, 'us', all).kind, 'refused');
  await holder.kill();
  await until('it is free', () => ledger.read()[0]?.usedMib === 0);
  assert.equal(ledger.claim(process.pid, 'us', all).kind, 'claimed');
});

test('another process with the same id is not the holder', (t) => {
  const ledger = ledgerOf(t, 1000);
  assert.equal(ledger.claim(process.pid, 'us', [{ deviceId: 'd0', usedMib: 700 }]).kind, 'claimed');
  assert.match(processStartTime(process.pid) ?? '', /^\d+$/);
  assert.equal(processStartTime(2 ** 22), null);
  assert.equal(openLedger(ledger.directory).read()[0]?.claims[0]?.startTime, processStartTime(process.pid));
});

test('an unknown device is a defect of the caller', (t) => {
  const ledger = ledgerOf(t, 1000);
  assert.throws(() => ledger.claim(process.pid, 'us', [{ deviceId: 'none', usedMib: 1 }]), /no device none/);
});

test('preparing again keeps the claims', (t) => {
  const ledger = ledgerOf(t, 1000);
  ledger.claim(process.pid, 'us', [{ deviceId: 'd0', usedMib: 700 }]);
  const again = prepareLedger(ledger.directory, ledger.devices);
  assert.equal(again.read()[0]?.usedMib, 700);
});

test('property: one process’s claims are what a plain model says', (t) => {
  const change = fc.record({ device: fc.constantFrom('d0', 'd1'), usedMib: fc.nat(1200) });
  const ledger = ledgerOf(t, 1000, 500);
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      ledger.release(process.pid);
      const model = new Map<string, number>();
      for (const { device, usedMib } of changes) {
        const fits = usedMib <= (device === 'd0' ? 1000 : 500);
        const result = ledger.claim(process.pid, 'us', [{ deviceId: device, usedMib }]);
        assert.equal(result.kind, fits ? 'claimed' : 'refused');
        if (fits) model.set(device, usedMib);
        assert.deepEqual(
          ledger.read().map((use) => use.usedMib),
          [model.get('d0') ?? 0, model.get('d1') ?? 0],
        );
      }
    }),
    { numRuns: 40 },
  );
});

test('property: processes that claim at random at the same time never over-commit, nor lose a claim', async (t) => {
  const ledger = ledgerOf(t, 1000, 1500);
  const seed = Number(process.env['LEDGER_SEED'] ?? 1);
  const claimers = [0, 1, 2, 3].map((index) => {
    const argv = [CLAIMER, ledger.directory, String(seed * 10 + index), '150'];
    return spawn(process.execPath, argv, { stdio: 'inherit' });
  });
  let running = claimers.length;
  const exits = claimers.map(async (child) => {
    const [code, signal] = await once(child, 'exit');
    running--;
    return signal ?? code;
  });
  await until('all claimers have finished', () => {
    for (const use of ledger.read()) assert.ok(use.usedMib <= use.device.totalMib);
    return running === 0;
  });
  assert.deepEqual(await Promise.all(exits), [0, 0, 0, 0]);
  assert.deepEqual(
    ledger.read().map((use) => use.usedMib),
    [0, 0],
  );
  assert.ok(readdirSync(ledger.directory).length < 20);
});

const CLAIMING = fileURLToPath(new URL('claiming-process.fixture.ts', import.meta.url));
/** util-linux's; a process table of its own needs root. */
const UNSHARE = '/usr/bin/unshare';

test('claims from other process tables count while their processes live, and are told apart', async (t) => {
  if (process.getuid?.() !== 0 || !existsSync(UNSHARE)) return t.skip('no process table of its own here');
  const ledger = ledgerOf(t, 1000);
  const apart = async (usedMib: number) => {
    const inner = [process.execPath, '--no-warnings', CLAIMING, ledger.directory, 'd0', String(usedMib)];
    const child = spawn(UNSHARE, ['--pid', '--fork', '--kill-child', '--mount-proc', ...inner], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // Whoever adopts the process inside may bury it late: until then it would seem to be left in our group.
      detached: true,
    });
    // Its output is closed when the process inside has ended too, which its parent's end kills.
    const closed = once(child, 'close');
    const end = (): Promise<unknown> => {
      child.kill('SIGKILL');
      return closed;
    };
    t.after(end);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return { line: String(line).trim(), end };
  };
  const first = await apart(600);
  assert.equal(first.line, 'claimed as 1');
  assert.equal((await apart(500)).line, 'refused as 1');
  assert.equal((await apart(300)).line, 'claimed as 1');
  assert.equal(ledger.claim(process.pid, 'us', [{ deviceId: 'd0', usedMib: 101 }]).kind, 'refused');
  assert.equal(ledger.claim(process.pid, 'us', [{ deviceId: 'd0', usedMib: 100 }]).kind, 'claimed');
  const pids = ledger.read()[0]?.claims.map(({ pid }) => pid) ?? [];
  assert.equal(new Set(pids).size, 3);
  assert.ok(pids.every((pid) => existsSync(`/proc/${pid}`)) && !pids.includes(1), `${pids}`);
  await first.end();
  await until('the claim is gone', () => ledger.read()[0]?.usedMib === 400);
  ledger.release(process.pid);
  assert.equal(ledger.read()[0]?.usedMib, 300);
});
