import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type SimProcess, startVllmSim, VLLM_SIM } from '../../../../test/fakes/vllm-sim.ts';
import { until } from '../../../../test/fakes/waiting.ts';
import { fill, smallDisk } from '../../../store/small-disk-fixtures.ts';
import { createSimulatedEngine } from '../engine.ts';
import { type Ledger, prepareLedger, processStartTime } from '../ledger.ts';
import { visibleDevices } from './memory.ts';

interface Machine {
  /** Of its ledger; tests may keep files there. */
  readonly directory: string;
  readonly ledger: Ledger;
  start(args: readonly string[], environment?: Record<string, string>, loadSeconds?: number): SimProcess;
  used(): number[];
}

/** A machine with devices of these sizes. */
function machine(t: TestContext, ...totals: number[]): Machine {
  const directory = mkdtempSync(join(tmpdir(), 'vsim-ledger-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const ledger = prepareLedger(
    directory,
    totals.map((totalMib, index) => ({ id: `sim-${index}`, name: `Simulated GPU ${index}`, totalMib })),
  );
  return {
    directory,
    ledger,
    start: (args, environment = {}, loadSeconds = 0) =>
      startVllmSim(t, {
        args: ['--max-model-len', '1024', ...args],
        environment: { VLLM_SIM_LEDGER: directory, ...environment },
        loadSeconds,
      }),
    used: () => ledger.read().map((use) => use.usedMib),
  };
}

test('an engine takes all that its utilisation allows, and no more than it is told', async (t) => {
  const { start, used } = machine(t, 10_000);
  await start(['--gpu-memory-utilization', '0.3']).ready();
  assert.deepEqual(used(), [3000]);
  await start(['--gpu-memory-utilization', '0.3', '--sim-memory-mib', '500']).ready();
  assert.deepEqual(used(), [3500]);
});

test('a cache size in bytes is taken as it is', async (t) => {
  const { start, used } = machine(t, 10_000);
  const args = [
    '--gpu-memory-utilization',
    '0.5',
    '--kv-cache-memory-bytes',
    '256M',
    '--sim-weights-mib',
    '1000',
  ];
  const sim = start(args);
  await sim.ready();
  assert.deepEqual(used(), [1256]);
  await sim.line(/Initial free memory 9\.77 GiB, reserved 0\.25 GiB memory for KV Cache as specified/);
});

test('the overhead comes on top of weights and cache, in two parts', async (t) => {
  const { start, used } = machine(t, 10_000);
  const args = ['--sim-overhead-mib', '601', '--sim-weights-mib', '1000', '--gpu-memory-utilization', '0.2'];
  const sized = start(args);
  await sized.ready();
  assert.deepEqual(used(), [2000], 'vLLM sizes its cache by what is left');
  await sized.line(/Available KV cache memory: 0\.39 GiB/);
  await sized.line(/Graph capturing finished in \d+ secs, took 0\.29 GiB/);
  await start([...args, '--kv-cache-memory-bytes', '1000M']).ready();
  assert.deepEqual(used(), [2000 + 601 + 1000 + 1000], 'a size in bytes leaves nothing for it');
});

test('what the reservation forgot is missing at the end of the start', async (t) => {
  const { start } = machine(t, 2500);
  const sim = start([
    ...['--sim-overhead-mib', '600', '--sim-weights-mib', '1000', '--gpu-memory-utilization', '0.8'],
    ...['--kv-cache-memory-bytes', '1000M'],
  ]);
  assert.equal((await sim.exit).code, 1);
  assert.match(
    sim.lines.join('\n'),
    /CUDA out of memory\. Tried to allocate 300\.00 MiB\. GPU 0 has a total capacity of 2\.44 GiB of which 200\.00 MiB is free/,
  );
});

test('too little free memory for the utilisation fails in vLLM’s words', async (t) => {
  const { start } = machine(t, 10_240);
  await start(['--gpu-memory-utilization', '0.5']).ready();
  const second = start(['--gpu-memory-utilization', '0.6']);
  assert.deepEqual(await second.exit, { code: 1, signal: null });
  const output = second.lines.join('\n');
  assert.match(
    output,
    /ValueError: Free memory on device cuda:0 \(5\.0\/10\.0 GiB\) on startup is less than desired GPU memory utilization \(0\.6, 6\.0 GiB\)\. Decrease GPU memory utilization or reduce GPU memory used by other processes\./,
  );
  assert.match(output, /Engine core initialization failed\. See root cause above/);
});

test('of two engines that start at once beyond the memory, one serves and the other dies', async (t) => {
  const { start, used } = machine(t, 10_000);
  const both = [1, 2].map(() => start(['--gpu-memory-utilization', '0.7'], {}, 0.3));
  const outcomes = await Promise.all(
    both.map((sim) =>
      Promise.race([
        sim.ready().then(
          () => 'serves',
          () => 'died',
        ),
        sim.exit.then(() => 'died'),
      ]),
    ),
  );
  assert.deepEqual(outcomes.toSorted(), ['died', 'serves']);
  const dead = both[outcomes.indexOf('died')];
  assert.match(dead?.lines.join('\n') ?? '', /CUDA out of memory|Free memory on device/);
  await until('only one holds memory', () => used()[0] === 7000);
});

test('a neighbour that grows during profiling shrinks the cache; one that releases breaks the start', async (t) => {
  const { start, ledger, directory } = machine(t, 10_000);
  const neighbour = (usedMib: number): void => {
    assert.equal(ledger.claim(process.pid, 'neighbour', [{ deviceId: 'sim-0', usedMib }]).kind, 'claimed');
  };
  neighbour(1000);
  // It goes on to profile when the neighbour has done its part.
  const held = (name: string): SimProcess =>
    start([
      ...['--gpu-memory-utilization', '0.5', '--sim-weights-mib', '2000'],
      ...['--sim-fault', `hold@loading:${join(directory, name)}`],
    ]);
  const goOn = (name: string): void => writeFileSync(join(directory, name), '');
  const shrunk = held('shrunk');
  await shrunk.line(/Starting to load model/);
  neighbour(2000);
  goOn('shrunk');
  await shrunk.line(/Available KV cache memory: 1\.95 GiB/);
  await shrunk.ready();
  shrunk.child.kill('SIGTERM');
  await shrunk.exit;
  neighbour(4000);
  const broken = held('broken');
  await broken.line(/Starting to load model/);
  neighbour(1000);
  goOn('broken');
  assert.equal((await broken.exit).code, 1);
  assert.match(
    broken.lines.join('\n'),
    /Error in memory profiling\. Initial free memory 5\.86 GiB, current free memory 6\.84 GiB\./,
  );
});

test('a context that the cache cannot hold is refused with the length that it could', async (t) => {
  const { start } = machine(t, 10_000);
  const sim = start([
    '--gpu-memory-utilization',
    '0.1',
    '--max-model-len',
    '8192',
    '--sim-kv-bytes-per-token',
    '100000',
  ]);
  assert.equal((await sim.exit).code, 1);
  assert.match(
    sim.lines.join('\n'),
    /To serve at least one request with the model's max seq len \(8192\), \(0\.76 GiB KV cache is needed, which is larger than the available KV cache memory \(0\.24 GiB\)\. Based on the available memory, the estimated maximum model length is 2621\./,
  );
});

test('max-model-len auto takes the length that fits', async (t) => {
  const { start } = machine(t, 10_000);
  const sim = start([
    '--gpu-memory-utilization',
    '0.1',
    '--max-model-len',
    'auto',
    '--sim-kv-bytes-per-token',
    '100000',
  ]);
  await sim.line(/Auto-fit max_model_len: reduced from 131072 to 2621/);
  await sim.ready();
  const { data } = (await sim.request({ path: '/v1/models' })).json() as {
    data: { max_model_len: number }[];
  };
  assert.equal(data[0]?.max_model_len, 2621);
});

test('no room for the cache at all', async (t) => {
  const { start } = machine(t, 10_000);
  const sim = start([
    '--gpu-memory-utilization',
    '0.1',
    '--sim-weights-mib',
    '1000',
    '--sim-memory-mib',
    '1200',
  ]);
  assert.equal((await sim.exit).code, 1);
  assert.match(sim.lines.join('\n'), /No available memory for the cache blocks/);
});

test('tensor parallelism takes every visible device', async (t) => {
  const { start, used } = machine(t, 1000, 2000, 2000);
  const args = ['--tensor-parallel-size', '2', '--gpu-memory-utilization', '0.5', '--sim-memory-mib', '800'];
  await start(args, { CUDA_VISIBLE_DEVICES: 'sim-1,sim-2' }).ready();
  assert.deepEqual(used(), [0, 800, 800]);
});

test('more ranks than devices is a world size error', async (t) => {
  const { start } = machine(t, 1000, 1000);
  const sim = start(['--tensor-parallel-size', '2'], { CUDA_VISIBLE_DEVICES: '1' });
  assert.equal((await sim.exit).code, 1);
  assert.match(sim.lines.join('\n'), /World size \(2\) is larger than the number of available GPUs \(1\)/);
});

test('killing the API server leaves the engine core with the memory', async (t) => {
  const { start, used, ledger } = machine(t, 1000);
  const sim = start(['--gpu-memory-utilization', '0.5']);
  await sim.ready();
  sim.child.kill('SIGKILL');
  await sim.exit;
  assert.deepEqual(used(), [500]);
  const [claim] = ledger.read()[0]?.claims ?? [];
  assert.ok(claim !== undefined && claim.pid !== sim.pid && processStartTime(claim.pid) !== null);
  process.kill(claim.pid, 'SIGKILL');
  await until('the memory is free', () => used()[0] === 0);
});

test('after SIGTERM nothing is held', async (t) => {
  const { start, used } = machine(t, 1000);
  const sim = start(['--gpu-memory-utilization', '0.5']);
  await sim.ready();
  sim.child.kill('SIGTERM');
  assert.deepEqual(await sim.exit, { code: 0, signal: null });
  await until('the memory is free', () => used()[0] === 0);
});

test('CUDA_VISIBLE_DEVICES: ids and indices in their order, up to the first that is unknown', () => {
  const devices = ['a', 'b', 'c'].map((id) => ({ id, name: id, totalMib: 1 }));
  const seen = (variable: string | null): string =>
    visibleDevices(devices, variable)
      .map(({ id }) => id)
      .join('');
  assert.equal(seen(null), 'abc');
  assert.equal(seen('2,0'), 'ca');
  assert.equal(seen('b, 0'), 'ba');
  assert.equal(seen('0,x,1'), 'a');
  assert.equal(seen('0,0,1'), 'a');
  assert.equal(seen(''), '');
});

test('a ledger on a full disk ends the start with a last line that names it', async (t) => {
  const directory = smallDisk(t, 256);
  if (directory === null) return t.skip('needs the right to mount a tmpfs');
  prepareLedger(directory, [{ id: 'sim-0', name: 'Simulated GPU 0', totalMib: 10_000 }]);
  fill(directory);
  const sim = startVllmSim(t, { environment: { VLLM_SIM_LEDGER: directory } });
  assert.equal((await sim.exit).code, 1);
  const engine = createSimulatedEngine({});
  const { text, lastLine } = engine.diagnose({ code: 1, signal: null }, sim.lines);
  assert.match(`${text} ${lastLine}`, /No space left on device: '.*disk-/);
});

test('output that a full disk does not take ends nobody', async (t) => {
  if (!existsSync('/dev/full')) return t.skip('no such device');
  const child = spawn(process.execPath, [VLLM_SIM, 'serve', 'acme/m', '--enable-auto-tool-choice'], {
    stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
  });
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.match(text, /requires --tool-call-parser/, 'it came as far as without');
});
