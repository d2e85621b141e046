/** The command line. Each command is a file of its own and is imported only when it runs. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { SimulateFlags } from './simulate.ts';
import type { SizeFlags } from './size.ts';
import { VERSION } from './version.ts';

function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('A port is 0 to 65535.');
  return port;
}

function countOf(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError('A whole number from 1 on.');
  return count;
}

function numberAbove(limit: number, what: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value <= limit)
      throw new InvalidArgumentError(`${what}, more than ${limit}.`);
    return value;
  };
}

/** Of an option that may be given several times. */
function collected(text: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), text];
}

interface EnginesFlags {
  readonly config?: string;
  readonly stateDirectory?: string;
  readonly json?: boolean;
}

interface FetchFlags {
  readonly all?: boolean;
  readonly update?: boolean;
  readonly config?: string;
}

interface ExplainFlags {
  readonly url?: string;
  readonly config?: string;
  readonly stateDirectory?: string;
  readonly apiKeyFile?: string;
  readonly watch?: boolean;
  readonly json?: boolean;
}

interface ActivityFlags extends EnginesFlags {
  readonly model?: string;
  readonly since?: string;
  readonly failed?: boolean;
  readonly limit?: number;
}

/** After an orderly end the process is gone within this. */
const EXIT_LIMIT_MS = 1_000;

const program = new Command('vllm-gateway')
  .description('One OpenAI- and Anthropic-compatible address in front of many models and few GPUs.')
  .version(VERSION)
  .showHelpAfterError();

program
  .command('serve', { isDefault: true })
  .description('Serve models. Without a configuration: a demonstration with simulated models.')
  .option('-c, --config <file>', 'configuration file (models.yaml)')
  .option('--host <address>', 'address to listen on')
  .option('--port <number>', 'port to listen on; 0 takes a free one', portNumber)
  .option('--auth <mode>', '`none` allows a public address without keys')
  .option('--api-keys-file <file>', 'file of API keys, one a line')
  .option('--state-directory <directory>', 'launch records, sockets and output of engines')
  .option('--devices <source>', 'auto, nvidia, simulated or host')
  .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent')
  .option('--record <file>', 'write every scheduler event and effect to this file, for `replay`')
  .option('--leave-engines', 'at the end, leave engines running for the next gateway')
  .allowExcessArguments()
  .action(async (options, command: Command) => {
    const [word] = command.args;
    if (word !== undefined) {
      const { strayWordText } = await import('./stray-word.ts');
      const commands = program.commands.map((known) => known.name());
      const isBehindServe = program.args[0] === 'serve';
      process.stderr.write(`error: ${strayWordText({ word, isBehindServe, commands })}\n`);
      process.exitCode = 1;
      return;
    }
    const { serve } = await import('./serve.ts');
    const code = await serve(options);
    process.exitCode = code;
    // Everything is ended. What a library still holds open (a hub that does not answer) keeps nobody waiting.
    setTimeout(() => process.exit(code), EXIT_LIMIT_MS).unref();
  });

program
  .command('check')
  .argument('[file]', 'configuration file; default: where `serve` would look')
  .description('Read a configuration as `serve` would and list all its faults.')
  .option('--show', 'print the whole configuration as understood, secrets hidden')
  .action(async (file: string | undefined, options: { readonly show?: boolean }) => {
    const { runCheck } = await import('./check.ts');
    process.exitCode = await runCheck({ file, environment: process.env, show: options.show }, process.stdout);
  });

program
  .command('plan')
  .description(
    'Tell before anything runs what each model takes, who fits together, who gives way, and who waits how long.',
  )
  .option('-c, --config <file>', 'configuration file; default: where `serve` would look')
  .option(
    '--devices <list>',
    'devices to plan for, such as 2x24GiB,1x12GiB,host=128GiB; default: this machine',
  )
  .option('--json', 'print JSON')
  .action(
    async (options: { readonly config?: string; readonly devices?: string; readonly json?: boolean }) => {
      const { runPlan } = await import('./plan.ts');
      const { config: file, devices, json } = options;
      process.exitCode = await runPlan({ file, devices, json, environment: process.env }, process.stdout);
    },
  );

program
  .command('doctor')
  .description(
    'Look at this machine as `serve` needs it: engines, devices, disks, limits, port; with remedies.',
  )
  .option('-c, --config <file>', 'configuration file; default: where `serve` would look')
  .option('--state-directory <directory>', 'instead of the configured one')
  .option('--json', 'print JSON')
  .action(async ({ config: file, ...options }: EnginesFlags) => {
    const { runDoctor } = await import('./doctor.ts');
    process.exitCode = await runDoctor({ file, ...options, environment: process.env }, process.stdout);
  });

const engines = program
  .command('engines')
  .description(
    'List the engines that are on record, whether or not a gateway runs. `engines stop` ends them.',
  )
  .option('-c, --config <file>', 'configuration file; default: where `serve` would look')
  .option('--state-directory <directory>', 'instead of the configured one')
  .option('--json', 'print JSON')
  .action(async ({ config: file, ...options }: EnginesFlags) => {
    const { runEngines } = await import('./engines.ts');
    process.exitCode = await runEngines({ file, ...options, environment: process.env }, process.stdout);
  });

engines
  .command('stop')
  .description('End the engines that a gateway has left running. Refused while one runs.')
  .action(async (_options, command: Command) => {
    const { config: file, ...options } = command.optsWithGlobals<EnginesFlags>();
    const { runEnginesStop } = await import('./engines.ts');
    process.exitCode = await runEnginesStop({ file, ...options, environment: process.env }, process.stdout);
  });

program
  .command('activity')
  .description('Tell what became of the last requests.')
  .option('-c, --config <file>', 'configuration file; default: where `serve` would look')
  .option('--state-directory <directory>', 'instead of the configured one')
  .option('--model <name>', 'of this model only')
  .option('--since <time>', 'not older than this, such as 15m, 1h or 7d')
  .option('--failed', 'only what did not end well')
  .option('--limit <number>', 'at most so many, the latest', countOf)
  .option('--json', 'print JSON')
  .action(async ({ config: file, ...options }: ActivityFlags) => {
    const { runActivity } = await import('./activity.ts');
    process.exitCode = await runActivity({ file, ...options, environment: process.env }, process.stdout);
  });

program
  .command('explain')
  .argument('<model>', 'configured name')
  .description('Ask a running gateway why a model waits, for how long, and what was decided about it.')
  .option(
    '--url <address>',
    'address of the gateway; default: where the gateway of the configuration listens',
  )
  .option('-c, --config <file>', 'configuration file; default: where `serve` would look')
  .option('--state-directory <directory>', 'instead of the configured one')
  .option('--api-key-file <file>', 'file with the API key; default: VLLM_GATEWAY_API_KEY of the environment')
  .option('--watch', 'tell whenever something changes, until the model is awake')
  .option('--json', 'print JSON')
  .action(async (model: string, { config: file, ...options }: ExplainFlags) => {
    const { runExplain } = await import('./explain.ts');
    const ended = new AbortController();
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ended.abort());
    const { signal } = ended;
    process.exitCode = await runExplain(
      { model, file, ...options, environment: process.env, signal },
      process.stdout,
    );
  });

program
  .command('fetch')
  .argument('[models...]', 'configured names, repositories, addresses or paths')
  .description(
    'Bring models into the Hugging Face cache, with progress; goes on where an earlier fetch ended.',
  )
  .option('--all', 'every model of the configuration')
  .option('--update', 'ask the hub for a newer commit even where everything is there')
  .option('-c, --config <file>', 'configuration file; default: where `serve` would look')
  .action(async (models: readonly string[], { all, update, config: file }: FetchFlags) => {
    const { runFetch } = await import('./fetch.ts');
    const ended = new AbortController();
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ended.abort());
    const isTerminal = process.stdout.isTTY === true;
    process.exitCode = await runFetch(
      { models, all, update, file, environment: process.env, isTerminal, signal: ended.signal },
      process.stdout,
    );
  });

program
  .command('cache')
  .description('List what is in the Hugging Face cache: how large, whether complete, and for which model.')
  .option('--json', 'print JSON')
  .option('--prune', 'remove what broken downloads have left')
  .option('-c, --config <file>', 'configuration file; default: where `serve` would look')
  .action(async ({ json, prune, config: file }: { json?: boolean; prune?: boolean; config?: string }) => {
    const { runCache } = await import('./cache.ts');
    process.exitCode = await runCache({ file, json, prune, environment: process.env }, process.stdout);
  });

program
  .command('replay')
  .argument('<file>', 'a file that `serve --record` wrote')
  .description('Feed a recorded run to the scheduler again and compare its decisions.')
  .action(async (file: string) => {
    const { runReplay } = await import('./replay.ts');
    process.exitCode = await runReplay(file, process.stdout);
  });

program
  .command('simulate')
  .description('Run the scheduler against a machine and a workload that are not there, and tell who waited.')
  .requiredOption('--world <file>', 'the machine, and what models cost on it (docs/simulate.md)')
  .option('--trace <file>', 'requests: a CSV file of t_ms,model,prompt_tokens,output_tokens')
  .option('--chutes <file>', 'requests: a CSV file of chute_id,started_at,it,ot')
  .option('--generate <recipe>', 'requests made up, such as grid:n=32,a=0.9,cv=4,rate=0.5,q=0.2,hours=4')
  .option(
    '--closed <clients>',
    'clients who ask, think and ask again, such as model=a,clients=4,think_s=1; repeatable',
    collected,
  )
  .option('--lengths <file>', 'a trace whose lengths are drawn for what is made up')
  .option(
    '--policy <names>',
    'policies by name, or files of your own; repeatable (default: default)',
    collected,
  )
  .option('--seed <number>', 'of start times and of what is made up', countOf, 1)
  .option('--time-scale <factor>', 'stretch the times of requests', numberAbove(0, 'A factor'), 1)
  .option('--patience <seconds>', 'requests leave after so long', numberAbove(0, 'Seconds'))
  .option(
    '--switch-share <share>',
    'share of device time for moves between busy models',
    numberAbove(0, 'A share'),
  )
  .option('--bound', 'tell beside it what no schedule can beat (takes a minute)')
  .option('--picture <file>', 'draw what each device held over time, as SVG')
  .option('--json', 'print JSON')
  .action(async (options: Omit<SimulateFlags, 'policy'> & { readonly policy?: readonly string[] }) => {
    const { runSimulate } = await import('./simulate.ts');
    const { policy = ['default'] } = options;
    process.exitCode = await runSimulate({ ...options, policy }, process.stdout);
  });

const kvType = new Option('--kv-dtype <type>', 'type of the KV cache').default('auto');
const dtype = new Option('--dtype <type>', "type of the weights; the model's own by default");

const size = program
  .command('size')
  .argument('<repo>', 'Hugging Face repository, directory or GGUF file')
  .description(
    'Tell what a model needs on each device, and what would make it fit. Weights are never downloaded.',
  )
  .option('--tp <number>', 'tensor parallel size', countOf, 1)
  .option('--pp <number>', 'pipeline parallel size', countOf, 1)
  .option('--max-model-len <tokens>', "context length; the model's own by default", countOf)
  .option('--seqs <number>', 'sequences of that length whose cache is reserved', countOf, 1)
  .addOption(kvType)
  .addOption(dtype)
  .option('--quantization <method>', 'what vLLM makes of plain weights while loading: fp8 or bitsandbytes')
  .option('--device-mib <MiB>', 'memory of one device: does it fit?', countOf)
  .option('--revision <name>', 'branch, tag or commit')
  .option('--state-directory <directory>', 'where readings of models are kept')
  .option('--json', 'print JSON')
  .action(async (repo: string, options: SizeFlags) => {
    const { sizeOptions, runSize } = await import('./size.ts');
    process.exitCode = await runSize(sizeOptions(repo, options, process.env), process.stdout);
  });

// The names of types come with the arithmetic that knows them, which no other command shall have to load.
program.hook('preSubcommand', async (_, command) => {
  if (command !== size) return;
  const { KV_TYPES } = await import('../sizing/kv-cache.ts');
  const { FLOAT_TYPES } = await import('../sizing/element-types.ts');
  kvType.choices(KV_TYPES);
  dtype.choices(FLOAT_TYPES);
});

await program.parseAsync();
