/** Every dependency is justified by a line of ARCHITECTURE.md, and every line there names a dependency. */
import type { CheckedFile } from '../checkout.ts';
import { type Finding, failure } from '../finding.ts';

const DOCUMENT = 'ARCHITECTURE.md';
const HEADING = /^#+ .*\bdependencies\b.*$/im;
const LINE = /^[-*] `([^`]+)`/gm;

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export function checkDependencies(files: readonly CheckedFile[]): Finding[] {
  const manifestFile = files.find((file) => file.path === 'package.json');
  if (manifestFile === undefined) return [failure('package.json', 0, 'is missing')];
  const manifest: Manifest = JSON.parse(manifestFile.text);
  const used = Object.keys({
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
  });
  const document = files.find((file) => file.path === DOCUMENT)?.text ?? '';
  const section = sectionOf(document);
  if (section === undefined) return [failure(DOCUMENT, 0, 'has no section "Dependencies"')];
  const justified = [...section.matchAll(LINE)].map((match) => match[1] ?? '');
  return [
    ...used
      .filter((name) => !justified.includes(name))
      .map((name) => failure(DOCUMENT, 0, `no line "- \`${name}\` …" in "Dependencies" says why we need it`)),
    ...justified
      .filter((name) => !used.includes(name))
      .map((name) =>
        failure(DOCUMENT, 0, `"Dependencies" names \`${name}\`, which package.json does not have`),
      ),
  ];
}

/** From the heading to the next heading of the same or a higher level. */
function sectionOf(document: string): string | undefined {
  const heading = HEADING.exec(document);
  if (heading === null) return undefined;
  const level = heading[0].indexOf(' ');
  const rest = document.slice(heading.index + heading[0].length);
  const next = new RegExp(`^#{1,${level}} `, 'm').exec(rest);
  return next === null ? rest : rest.slice(0, next.index);
}
