/** Rewrites docs/configuration.md and schema/models.schema.json from the schema. `--check` only compares (exit code 1). */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configurationMarkdown } from '../src/config/documentation.ts';
import { configJsonSchema } from '../src/config/schema.ts';

const root = new URL('../', import.meta.url);

const generated: readonly (readonly [path: string, text: string])[] = [
  ['docs/configuration.md', configurationMarkdown()],
  ['schema/models.schema.json', `${JSON.stringify(configJsonSchema(), null, 2)}\n`],
];

const checkOnly = process.argv.includes('--check');
for (const [path, text] of generated) {
  const file = fileURLToPath(new URL(path, root));
  const present = await readFile(file, 'utf8').catch(() => null);
  if (present === text) continue;
  if (checkOnly) {
    console.error(`${path} is stale: run node tools/generate-config-docs.ts`);
    process.exitCode = 1;
  } else {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    console.log(`${path} written`);
  }
}
