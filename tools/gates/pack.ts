/**
 * Packs the package, installs the packed file where nothing of the checkout can help it, and uses its commands: what
 * a user of the published package gets must start, and must accept the examples that come with it.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ROOT, succeeds } from './gate.ts';
import { tryDemonstration } from './packed-demonstration.ts';

export async function checkPacked(): Promise<boolean> {
  const folder = mkdtempSync(path.join(tmpdir(), 'vg-pack-'));
  try {
    // `prepack` builds.
    if (!(await succeeds('npm', ['pack', '--silent', '--pack-destination', folder]))) return false;
    const packed = readdirSync(folder).find((name) => name.endsWith('.tgz'));
    if (packed === undefined) return complain('npm pack wrote no file');
    writeFileSync(path.join(folder, 'package.json'), '{"private": true}');
    const install = [
      'install',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      '--prefer-offline',
      `./${packed}`,
    ];
    if (!(await succeeds('npm', install, { cwd: folder }))) return false;
    return await checkInstalled(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function checkInstalled(folder: string): Promise<boolean> {
  const installed = path.join(folder, 'node_modules', 'vllm-gateway');
  if (existsSync(path.join(installed, 'src'))) return complain('the package contains src/');
  const files = readdirSync(path.join(installed, 'dist'), { recursive: true, encoding: 'utf8' });
  const test = files.find((file) => /(\.(test|fuzz|bench|fixture)|-fixtures|conformance)\.js$/.test(file));
  if (test !== undefined) return complain(`the package contains the test file dist/${test}`);
  // The user's Node is the first on the PATH, and new enough.
  const environment = {
    ...process.env,
    PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH ?? ''}`,
  };
  const command = (name: string, args: readonly string[]) =>
    succeeds(path.join(folder, 'node_modules', '.bin', name), args, { cwd: folder, environment });
  if (!(await command('vllm-gateway', ['--version']))) return complain('`vllm-gateway --version` failed');
  if (!(await command('vllm-sim', ['--help']))) return complain('`vllm-sim --help` failed');
  const examples = readdirSync(path.join(installed, 'examples')).filter((name) => name.endsWith('.yaml'));
  if (examples.length === 0) return complain('the package contains no example');
  for (const example of examples) {
    const file = path.join(installed, 'examples', example);
    if (!(await command('vllm-gateway', ['check', file])))
      return complain(`\`vllm-gateway check ${example}\` failed`);
  }
  // Its state stays in the folder that is deleted afterwards.
  const alone = { ...environment, HOME: folder, XDG_STATE_HOME: path.join(folder, 'state') };
  const fault = await tryDemonstration(
    path.join(folder, 'node_modules', '.bin', 'vllm-gateway'),
    folder,
    alone,
  );
  return fault === undefined ? checkManifest(installed) : complain(fault);
}

/** What package.json promises must be in the package. */
function checkManifest(installed: string): boolean {
  const { files }: { files: readonly string[] } = JSON.parse(
    readFileSync(path.join(ROOT, 'package.json'), 'utf8'),
  );
  const missing = files.filter((file) => !existsSync(path.join(installed, file)));
  return (
    missing.length === 0 || complain(`package.json lists files that do not exist: ${missing.join(', ')}`)
  );
}

function complain(message: string): false {
  process.stderr.write(`${message}\n`);
  return false;
}
