import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { VLLM_SIM } from '../../../../test/fakes/vllm-sim.ts';
import { LEDGER_VARIABLE, type Ledger, prepareLedger } from '../ledger.ts';

function machine(t: TestContext): { ledger: Ledger; smi: (...argv: string[]) => Promise<string> } {
  const directory = mkdtempSync(join(tmpdir(), 'smi-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const ledger = prepareLedger(directory, [
    { id: 'GPU-aaaa', name: 'Simulated GPU 0', totalMib: 24_564 },
    { id: 'GPU-bbbb', name: 'Simulated GPU 1', totalMib: 8192 },
  ]);
  ledger.claim(process.pid, 'VLLM::EngineCore', [{ deviceId: 'GPU-bbbb', usedMib: 1000 }]);
  const smi = async (...argv: string[]): Promise<string> => {
    const environment = { ...process.env, [LEDGER_VARIABLE]: directory };
    const options = { env: environment };
    return (await promisify(execFile)(process.execPath, [VLLM_SIM, 'nvidia-smi', ...argv], options)).stdout;
  };
  return { ledger, smi };
}

test('queries print the documented CSV', async (t) => {
  const { smi } = machine(t);
  assert.equal(
    await smi('--query-gpu=index,uuid,memory.total,memory.used,memory.free', '--format=csv'),
    'index, uuid, memory.total [MiB], memory.used [MiB], memory.free [MiB]\n' +
      '0, GPU-aaaa, 24564 MiB, 0 MiB, 24564 MiB\n' +
      '1, GPU-bbbb, 8192 MiB, 1000 MiB, 7192 MiB\n',
  );
  assert.equal(
    await smi('--query-gpu=index,name,mig.mode.current', '--format=csv,noheader,nounits'),
    '0, Simulated GPU 0, [N/A]\n1, Simulated GPU 1, [N/A]\n',
  );
  assert.equal(
    await smi('--query-compute-apps=pid,gpu_uuid,used_memory', '--format=csv,noheader'),
    `${process.pid}, GPU-bbbb, 1000 MiB\n`,
  );
  assert.equal(
    await smi('-L'),
    'GPU 0: Simulated GPU 0 (UUID: GPU-aaaa)\nGPU 1: Simulated GPU 1 (UUID: GPU-bbbb)\n',
  );
});

test('an unknown field and a missing driver fail as the tool fails', async (t) => {
  const { smi } = machine(t);
  await assert.rejects(smi('--query-gpu=fan.colour', '--format=csv'), {
    code: 2,
    stdout: /Field "fan\.colour" is not a valid field to query\./,
  });
  await assert.rejects(
    promisify(execFile)(process.execPath, [VLLM_SIM, 'nvidia-smi'], { env: { PATH: process.env['PATH'] } }),
    {
      code: 9,
      stdout: /couldn't communicate with the NVIDIA driver/,
    },
  );
});

test('-lms prints again and again', async (t) => {
  const { ledger } = machine(t);
  const argv = [
    VLLM_SIM,
    'nvidia-smi',
    '--query-gpu=memory.used',
    '--format=csv,noheader,nounits',
    '-lms',
    '10',
  ];
  const child = spawn(process.execPath, argv, {
    env: { ...process.env, [LEDGER_VARIABLE]: ledger.directory },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8');
  for await (const text of child.stdout) {
    output += text;
    if (output.split('\n').length > 6) break;
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.match(output, /^0\n1000\n0\n1000\n0\n/);
});
