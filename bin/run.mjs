/**
 * `node bin/run.mjs FILE ARGS…`: what the npm scripts of a checkout call. It makes the checkout ready, then runs
 * FILE (relative to the checkout) on a Node that is new enough. One process from the script to the program: with
 * `setup && start` in a shell, a SIGTERM for npm would end the shell and leave the program behind.
 */
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { PACKAGE_ROOT, runOnNewNode } from './launch.mjs';
import { setUp } from './setup.mjs';

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node bin/run.mjs FILE [ARGUMENT…]\n');
  process.exit(2);
}
try {
  await setUp(PACKAGE_ROOT);
} catch (error) {
  process.stderr.write(`setup failed: ${error.message}\n`);
  process.exit(1);
}
const absolute = path.resolve(PACKAGE_ROOT, file);
const script = fileURLToPath(import.meta.url);
// The program sees the command line that it would see if Node had started it directly.
if (process.argv[1] !== undefined) process.argv.splice(1, 2, absolute);
await runOnNewNode(script, absolute, [file, ...args]);
