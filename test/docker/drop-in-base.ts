/**
 * An image to build on where no registry can be asked: Debian from the packages of this machine, with Node 24, npm, tini and
 * the certificate authorities that this machine trusts. What Debian's essential packages need is in it, and nothing else.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  lstatSync,
  mkdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { programPath } from '../../tools/docker-lab/components.ts';
import { archive } from '../../tools/docker-lab/images.ts';

export type BaseArchive =
  | { readonly kind: 'archive'; readonly file: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Beside the essential ones: what the Dockerfile expects of any image of Debian, and what Node is linked with. */
const PACKAGES = ['tini', 'passwd', 'ca-certificates', 'libstdc++6', 'libatomic1'];
/** Many of them, many megabytes, read by nobody in an image. */
const LEFT_OUT = /^\/usr\/share\/(doc|man|info|locale|lintian|bug)\/./;
/** Links of the merged /usr; what packages have there goes through them. */
const LINKS = ['/bin', '/sbin', '/lib', '/lib64'];
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

interface Package {
  readonly name: string;
  readonly version: string;
  readonly isEssential: boolean;
  readonly needs: string;
  readonly provides: string;
}

export function baseArchive(): BaseArchive {
  let packages: readonly Package[];
  let npm: string;
  try {
    packages = closureOf(installedPackages());
    npm = path.dirname(path.dirname(realpathSync(programPath('npm'))));
  } catch (error) {
    const reason = `no image can be made of this machine: ${error instanceof Error ? error.message : error}`;
    return { kind: 'unavailable', reason };
  }
  const versions = packages.map(({ name, version }) => `${name} ${version}`);
  const sizes = [process.execPath, path.join(npm, 'package.json'), AUTHORITIES].map(
    (file) => `${file} ${statSync(file).size} ${statSync(file).mtimeMs}`,
  );
  const key = [...versions, ...sizes].join('\n');
  return { kind: 'archive', file: archive('debian-node', key, (root) => fill(root, packages, npm)) };
}

function installedPackages(): ReadonlyMap<string, Package> {
  const fields = ['Package', 'Version', 'Essential', 'Pre-Depends', 'Depends', 'Provides'];
  const format = `${fields.map((field) => `\${${field}}`).join('\t')}\n`;
  const text = outputOf('dpkg-query', ['--show', `--showformat=${format}`]);
  const found = new Map<string, Package>();
  for (const line of text.split('\n')) {
    const [name = '', version = '', essential = '', before = '', needs = '', provides = ''] =
      line.split('\t');
    if (name === '') continue;
    const isEssential = essential === 'yes';
    found.set(name, { name, version, isEssential, needs: `${before}, ${needs}`, provides });
  }
  return found;
}

/** The essential packages, ours, and what these need; of alternatives the one that is installed. */
function closureOf(installed: ReadonlyMap<string, Package>): readonly Package[] {
  const providers = new Map<string, string>();
  for (const { name, provides } of installed.values()) {
    for (const provided of namesIn(provides).flat()) providers.set(provided, name);
  }
  const chosen = new Map<string, Package>();
  const essential = [...installed.values()].filter(({ isEssential }) => isEssential).map(({ name }) => name);
  const queue = [...essential, ...PACKAGES];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const found = installed.get(name) ?? installed.get(providers.get(name) ?? '');
    if (found === undefined) {
      // A library that this architecture's Node does not need has no package.
      if (PACKAGES.includes(name) && name.startsWith('lib')) continue;
      throw new Error(`the package ${name} is not installed`);
    }
    if (chosen.has(found.name)) continue;
    chosen.set(found.name, found);
    for (const alternatives of namesIn(found.needs)) {
      const there = alternatives.find((one) => installed.has(one) || providers.has(one));
      if (there !== undefined) queue.push(there);
    }
  }
  return [...chosen.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** `a (>= 1) | b:any, c` as [[a, b], [c]]. */
function namesIn(relations: string): readonly (readonly string[])[] {
  return relations
    .split(',')
    .map((part) => part.split('|').map((one) => one.trim().split(/[\s:(]/)[0] ?? ''))
    .map((names) => names.filter((name) => name !== ''))
    .filter((names) => names.length > 0);
}

function fill(root: string, packages: readonly Package[], npm: string): void {
  const listed = outputOf('dpkg-query', ['--listfiles', ...packages.map(({ name }) => name)]).split('\n');
  const files = [...LINKS, ...new Set(listed), AUTHORITIES].filter(
    (file) => /^\/[^.]/.test(file) && !LEFT_OUT.test(file) && exists(file),
  );
  for (const link of LINKS) mkdirSync(path.join(root, 'usr', link), { recursive: true });
  const list = `${root}.list`;
  const packed = `${root}.files`;
  try {
    writeFileSync(list, files.map((file) => file.slice(1)).join('\0'));
    execFileSync('tar', ['-cf', packed, '--no-recursion', '-C', '/', '--null', '-T', list]);
    execFileSync('tar', ['-xf', packed, '-C', root, '--keep-directory-symlink']);
  } finally {
    for (const file of [list, packed]) rmSync(file, { force: true });
  }
  for (const name of ['passwd', 'group']) {
    copyFileSync(`/usr/share/base-passwd/${name}.master`, path.join(root, 'etc', name));
  }
  mkdirSync(path.join(root, 'tmp'), { recursive: true });
  chmodSync(path.join(root, 'tmp'), 0o1777);
  const local = path.join(root, 'usr/local');
  mkdirSync(path.join(local, 'bin'), { recursive: true });
  copyFileSync(realpathSync(process.execPath), path.join(local, 'bin/node'));
  cpSync(npm, path.join(local, 'lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', path.join(local, 'bin/npm'));
}

function exists(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

function outputOf(program: string, args: readonly string[]): string {
  return execFileSync(programPath(program), args, { encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX });
}
