/** `vllm-sim`: a program that behaves as `vllm serve` does, without a model and without a GPU. */
import { SIMULATED_VERSION } from './context.ts';
import { FAULT_HELP } from './faults.ts';
import { serve } from './serve.ts';
import { SIM_SWITCHES, SIM_VALUES } from './sim-flags.ts';

function help(): string {
  const lines = [
    'usage: vllm-sim serve [model_tag] [vLLM flags] [--sim-… flags]',
    '       vllm-sim nvidia-smi [nvidia-smi flags]',
    '',
    'Accepts the flags of `vllm serve` and answers as it does. What is simulated is set by:',
    '',
  ];
  for (const [name, [initial, meaning]] of SIM_VALUES) {
    const suffix = initial === null ? '' : ` (default ${initial})`;
    lines.push(`  --${name} VALUE`.padEnd(40) + `${meaning}${suffix}`);
  }
  for (const [name, meaning] of SIM_SWITCHES) lines.push(`  --${name}`.padEnd(40) + meaning);
  lines.push('', 'Faults (--sim-fault, may be repeated):', '');
  for (const [name, meaning] of FAULT_HELP) lines.push(`  ${name}`.padEnd(40) + meaning);
  lines.push(
    '',
    'Environment: VLLM_SIM_LEDGER, CUDA_VISIBLE_DEVICES and those of vLLM. See docs/vllm-sim.md.',
    '',
  );
  return lines.join('\n');
}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'serve':
      if (rest.includes('--help') || rest.includes('-h')) break;
      return serve(rest);
    case 'nvidia-smi': {
      const { nvidiaSmi } = await import('./nvidia-smi.ts');
      return nvidiaSmi(rest, process.env);
    }
    case '--version':
    case '-v':
      process.stdout.write(`${SIMULATED_VERSION}\n`);
      return 0;
    case undefined:
    case '--help':
    case '-h':
      break;
    default:
      process.stderr.write(
        `usage: vllm-sim [-h] [-v] {serve,nvidia-smi} ...\nvllm-sim: error: argument subparser: invalid choice: '${command}' (choose from 'serve', 'nvidia-smi')\n`,
      );
      return 2;
  }
  process.stdout.write(help());
  return 0;
}

process.exit(await main(process.argv.slice(2)));
