/**
 * Starts a program of this package on a Node that can run it. Kept in plain JavaScript that parses on Node 18,
 * because its first job is to notice that the Node which runs it is too old.
 *
 * 1. A published package has `dist/` and no `src/`: the compiled program runs. A checkout always runs `src/`, so
 *    that a stale build never hides an edit.
 * 2. On a Node below the minimum the same command line is run again by the Node of the `node` npm package. The
 *    launcher then is transparent: every signal reaches the program exactly once, and its exit code or fatal
 *    signal becomes ours.
 * 3. When the launcher is killed outright the program is told (SIGTERM), so that it never stays behind unseen.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import nodeModule from 'node:module';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The first Node that strips types without a flag. `engines` in package.json names the same version. */
export const MINIMUM_NODE = [22, 18];

/** Set for the re-executed program only, so that a wrong Node in node_modules ends in a message and not in a loop. */
const RELAUNCHED = 'VLLM_GATEWAY_RELAUNCHED';

const FORWARDED_SIGNALS = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'];

/** The folder that holds package.json. */
export const PACKAGE_ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/**
 * Runs a program of this package, given by its module path below `src/` without extension, such as `cli/main`.
 * `importMetaUrl` is the `import.meta.url` of the file in bin/ that calls.
 */
export async function launch(importMetaUrl, entry) {
  const root = path.dirname(path.dirname(fileURLToPath(importMetaUrl)));
  const packed = existsSync(path.join(root, 'dist')) && !existsSync(path.join(root, 'src'));
  const file = packed ? path.join(root, 'dist', `${entry}.js`) : path.join(root, 'src', `${entry}.ts`);
  await runOnNewNode(fileURLToPath(importMetaUrl), file, process.argv.slice(2));
}

/**
 * Runs `file` in this process when this Node is new enough, else hands `script` and `args` to a newer Node.
 * `script` is what the newer Node runs: it comes back here and then takes the first branch.
 */
export async function runOnNewNode(script, file, args) {
  const relaunched = process.env[RELAUNCHED] !== undefined;
  delete process.env[RELAUNCHED];
  if (isNewEnough(process.versions.node)) {
    if (relaunched) endWithLauncher();
    silenceKnownWarnings();
    enableCompileCache();
    await import(pathToFileURL(file).href);
    return;
  }
  const newNode = relaunched ? undefined : findNewNode(PACKAGE_ROOT);
  if (newNode === undefined) {
    process.stderr.write(
      `vllm-gateway needs Node ${MINIMUM_NODE.join('.')} or newer, but this is Node ${process.versions.node}.\n` +
        'Install a newer Node, or run `npm run setup` in a checkout: it brings its own.\n',
    );
    process.exitCode = 1;
    return;
  }
  relaunch(newNode, script, args);
}

/** Whether a version such as `24.1.0` is at least the minimum. */
export function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1]);
}

/** The binary of the `node` npm package nearest to `root`, as Node itself would look for a dependency. */
export function findNewNode(root) {
  for (let folder = root; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', 'node', 'bin', 'node');
    if (existsSync(candidate)) return candidate;
    if (folder === path.dirname(folder)) return undefined;
  }
}

/**
 * The program gets a session of its own. In ours a Ctrl-C of the terminal, or a signal to the whole process group,
 * would reach it once directly and once forwarded, and a second SIGINT means "stop at once" to a server. The IPC
 * channel carries nothing: its end tells the program that the launcher is gone.
 */
export function relaunch(newNode, script, args) {
  const child = spawn(newNode, [...process.execArgv, script, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [RELAUNCHED]: '1' },
    detached: true,
  });
  const forward = (signal) => child.kill(signal);
  for (const signal of FORWARDED_SIGNALS) process.on(signal, forward);
  child.on('error', (error) => {
    process.stderr.write(`vllm-gateway could not start ${newNode}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    for (const forwarded of FORWARDED_SIGNALS) process.off(forwarded, forward);
    if (signal === null) process.exit(code ?? 1);
    process.kill(process.pid, signal);
  });
}

function endWithLauncher() {
  if (!process.channel) return;
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel.unref();
}

/** Node 22 announces type stripping and SQLite as experiments at every start; the versions that we admit run both. */
function silenceKnownWarnings() {
  const emitWarning = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const text = typeof warning === 'string' ? warning : String(warning?.message);
    const type = typeof rest[0] === 'object' && rest[0] !== null ? rest[0].type : rest[0];
    if (type === 'ExperimentalWarning' && /^(Type Stripping|SQLite) is an experimental feature/.test(text))
      return;
    emitWarning.call(process, warning, ...rest);
  };
}

/**
 * Compiled code is kept between starts, in the user's own cache: a folder in a shared temporary directory could be
 * prepared by somebody else. Node ignores the call when NODE_COMPILE_CACHE has chosen a folder, and a folder that
 * cannot be written only costs the speed.
 */
function enableCompileCache() {
  const home = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  nodeModule.enableCompileCache?.(path.join(home, 'vllm-gateway', 'compile-cache'));
}
