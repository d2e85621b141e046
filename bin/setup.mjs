/**
 * Makes a checkout ready: installs what package-lock.json names and links our own commands, so that
 * `npx --no-install vllm-gateway` works. Plain JavaScript for Node 18 and later, without dependencies, because
 * nothing is installed yet when it runs. Doing nothing when nothing changed takes milliseconds.
 *
 * S1. The stamp is written last and holds the hash of the lock file that was installed: an interrupted
 *     installation is not taken for a finished one.
 * S2. One installation at a time per checkout: npm deletes node_modules first, under the feet of any other.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const LOCK_WAIT_MAX_MS = 20 * 60_000;
const LOCK_POLL_MS = 200;
/** A lock file without a readable owner is being written right now, or its writer died in between. */
const LOCK_UNREADABLE_MAX_MS = 5_000;

/** Installs and links in `root` where needed. Throws an Error with a message for the user when it cannot. */
export async function setUp(root) {
  if (!isInstalled(root)) {
    const unlock = await lock(path.join(root, '.setup.lock'));
    try {
      if (!isInstalled(root)) {
        if (!isInstalledByHand(root)) install(root);
        writeFileSync(stampFile(root), lockHash(root));
      }
    } finally {
      unlock();
    }
  }
  linkCommands(root);
}

function stampFile(root) {
  return path.join(root, 'node_modules', '.vllm-gateway-setup');
}

function nodeBinary(root) {
  return path.join(root, 'node_modules', 'node', 'bin', 'node');
}

function lockHash(root) {
  return createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
}

function isInstalled(root) {
  if (!existsSync(nodeBinary(root))) return false;
  try {
    return readFileSync(stampFile(root), 'utf8') === lockHash(root);
  } catch {
    return false;
  }
}

/**
 * Whether npm's own record of node_modules agrees with package-lock.json. So it is after a developer's
 * `npm install NAME`, and deleting node_modules to install the same again would be a waste.
 */
function isInstalledByHand(root) {
  if (!existsSync(nodeBinary(root))) return false;
  try {
    const wanted = readJson(path.join(root, 'package-lock.json')).packages;
    const present = readJson(path.join(root, 'node_modules', '.package-lock.json')).packages;
    const isSame = Object.entries(present).every(
      ([name, entry]) => wanted[name]?.integrity === entry.integrity,
    );
    const isComplete = Object.entries(wanted).every(
      ([name, entry]) => name === '' || entry.optional === true || present[name] !== undefined,
    );
    return isSame && isComplete;
  } catch {
    return false;
  }
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function install(root) {
  process.stderr.write('Installing dependencies (once, and again when package-lock.json changes) …\n');
  // Whatever the user's defaults say, a checkout needs the development dependencies: Node 24 is one of them.
  // Its warnings would be about the old Node that we are here to replace.
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];
  run(root, npmCommand(), ['ci', '--include=dev', ...quiet]);
  if (existsSync(nodeBinary(root))) return;
  // A user's `ignore-scripts` leaves the `node` package without its binary; its own script fetches it.
  const folder = path.join(root, 'node_modules', 'node');
  run(folder, [process.execPath], ['installArchSpecificPackage.js']);
  if (!existsSync(nodeBinary(root))) {
    throw new Error(`npm installed no Node binary at ${nodeBinary(root)}`);
  }
}

/** The npm that runs us, if one does, else the one on the PATH. */
function npmCommand() {
  const executable = process.env.npm_execpath;
  if (executable && path.basename(executable) === 'npm-cli.js' && existsSync(executable)) {
    return [process.execPath, executable];
  }
  return ['npm'];
}

function run(folder, [command, ...first], args) {
  // Output goes to stderr: stdout belongs to the program that starts after the setup.
  const child = spawnSync(command, [...first, ...args], {
    cwd: folder,
    env: installEnvironment(),
    stdio: ['ignore', 2, 2],
  });
  if (child.error) throw new Error(`cannot run ${command}: ${child.error.message}`);
  if (child.status !== 0) {
    throw new Error(
      `\`${[command, ...first, ...args].join(' ')}\` failed with ${child.signal ?? child.status}`,
    );
  }
}

/**
 * npm puts node_modules/.bin of the checkout first on the PATH of its scripts; the Node there is about to be
 * deleted, so any other one goes before it.
 */
function installEnvironment() {
  const environment = { ...process.env };
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const others = folders.filter((folder) => !folder.endsWith(path.join('node_modules', '.bin')));
  const isNodeFound = others.some((folder) => existsSync(path.join(folder, 'node')));
  if (isNodeFound) environment.PATH = others.join(path.delimiter);
  return environment;
}

/**
 * Links each command of package.json into node_modules/.bin; npm does so for dependencies only, and not for the
 * `node` package where scripts are ignored.
 */
function linkCommands(root) {
  const { bin } = readJson(path.join(root, 'package.json'));
  const folder = path.join(root, 'node_modules', '.bin');
  mkdirSync(folder, { recursive: true });
  const targets = Object.entries(bin).map(([name, file]) => [name, path.join('..', '..', file)]);
  for (const [name, target] of [...targets, ['node', path.join('..', 'node', 'bin', 'node')]]) {
    const link = path.join(folder, name);
    if (readLink(link) === target) continue;
    // Renamed into place, so that no moment exists in which the command is missing.
    const temporary = `${link}.${process.pid}`;
    symlinkSync(target, temporary);
    renameSync(temporary, link);
  }
}

function readLink(link) {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}

/** Takes the lock file, waiting for a living owner and replacing a dead one. Returns the function that frees it. */
async function lock(file) {
  const deadlineMs = Date.now() + LOCK_WAIT_MAX_MS;
  let unreadableSinceMs;
  let announced = false;
  for (;;) {
    if (tryLock(file)) return () => rmSync(file, { force: true });
    const owner = readOwner(file);
    if (owner === undefined) unreadableSinceMs ??= Date.now();
    else unreadableSinceMs = undefined;
    const isAbandoned =
      owner === undefined ? Date.now() - unreadableSinceMs > LOCK_UNREADABLE_MAX_MS : !isAlive(owner);
    if (isAbandoned) takeAway(file);
    if (Date.now() > deadlineMs)
      throw new Error(`another setup holds ${file} for too long; delete the file if none runs`);
    if (!announced && owner !== undefined && !isAbandoned) {
      process.stderr.write(`Waiting for the setup that process ${owner} is doing …\n`);
      announced = true;
    }
    await sleep(LOCK_POLL_MS);
  }
}

function tryLock(file) {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function readOwner(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Of two that find the same dead owner, the slower must not delete the lock that the faster has taken since: the
 * right to delete is itself a file that only one can create.
 */
function takeAway(file) {
  const right = `${file}.stale`;
  if (!tryLock(right)) {
    const owner = readOwner(right);
    if (owner !== undefined && !isAlive(owner)) rmSync(right, { force: true });
    return;
  }
  try {
    const owner = readOwner(file);
    if (owner === undefined || !isAlive(owner)) rmSync(file, { force: true });
  } finally {
    rmSync(right, { force: true });
  }
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await setUp(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
  } catch (error) {
    process.stderr.write(`setup failed: ${error.message}\n`);
    process.exitCode = 1;
  }
}
