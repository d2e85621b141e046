import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { blankCode } from './blank-code.ts';
import { checkedFile, readCheckout } from './checkout.ts';
import { type Finding, formatFinding } from './finding.ts';
import { importsOf } from './imports.ts';
import { checkArrows } from './rules/arrows.ts';
import { checkAssertions } from './rules/assertions.ts';
import { checkDatabases } from './rules/databases.ts';
import { checkDependencies } from './rules/dependencies.ts';
import { checkNames } from './rules/names.ts';
import { checkPurity } from './rules/purity.ts';
import { checkSize } from './rules/size.ts';
import { checkWords } from './rules/words.ts';
import { checkAll } from './rules.ts';

type Rule = (files: ReturnType<typeof checkedFile>[]) => Finding[];

function messages(rule: Rule, file: string, text: string): string[] {
  return rule([checkedFile(file, text)]).map(formatFinding);
}

function assertFails(rule: Rule, file: string, text: string, expected: RegExp): void {
  const found = messages(rule, file, text);
  assert.ok(
    found.some((message) => message.startsWith('FAIL') && expected.test(message)),
    `expected ${expected} for ${JSON.stringify(text)}, found ${JSON.stringify(found)}`,
  );
}

function assertPasses(rule: Rule, file: string, text: string): void {
  assert.deepEqual(messages(rule, file, text), [], JSON.stringify(text));
}

describe('blankCode', () => {
  const cases: [string, string][] = [
    ["a('Date') // Date", "a('    ')        "],
    ['a /* x\ny */ b', 'a     \n     b'],
    ['`Date ${Date} ${`x${1}`} d`', '`     ${Date} ${` ${1}`}  `'],
    ['x = /Date[/]"/.test(y)', 'x =           .test(y)'],
    ["a / b / 'c'", "a / b / ' '"],
    ["return /'/", 'return    '],
    ["'it\\'s' + d", "'     ' + d"],
    ['f(`a${{ b: `}` }.b}c`)', 'f(` ${{ b: ` ` }.b} `)'],
    ['#!/usr/bin/env node\nx', '                   \nx'],
  ];
  for (const [source, expected] of cases) {
    test(`keeps the code of ${JSON.stringify(source)}`, () => {
      assert.equal(blankCode(source), expected);
      assert.equal(blankCode(source).length, source.length);
    });
  }
});

test('imports are found in all their forms, and not in comments or strings', () => {
  const text = `// import { x } from 'comment';
import { a, type B } from './a.ts';
import type { C } from '../core/c.ts';
import 'side-effect';
export { d } from './d.ts';
const e = await import('./e.ts');
const s = "import 'string'";
export const from = f(s);
`;
  const found = importsOf(checkedFile('src/http/x.ts', text));
  assert.deepEqual(
    found.map(({ specifier, line, isTypeOnly, target }) => [specifier, line, isTypeOnly, target]),
    [
      ['./a.ts', 2, false, 'src/http/a.ts'],
      ['../core/c.ts', 3, true, 'src/core/c.ts'],
      ['side-effect', 4, false, undefined],
      ['./d.ts', 5, false, 'src/http/d.ts'],
      ['./e.ts', 6, false, 'src/http/e.ts'],
    ],
  );
});

describe('purity', () => {
  const violations: [string, RegExp][] = [
    ['const t = Date.now();', /nowMs/],
    ['const t = new Date();', /nowMs/],
    ['performance.now();', /nowMs/],
    ['setTimeout(f, 1);', /timer effect/],
    ['const r = Math.random();', /prng/],
    ["console.log('x');", /reason/],
    ['async function f() {}', /event/],
    ['const p: Promise<void> = q;', /event/],
    ['const x = process.env;', /outside/],
    ["import { readFileSync } from 'node:fs';", /node:fs/],
    ["import { z } from 'zod';", /zod/],
    ["const m = import('undici');", /undici/],
    ['const s = `${Date.now()}`;', /nowMs/],
  ];
  for (const folder of ['scheduler', 'placement', 'sizing']) {
    for (const [code, expected] of violations) {
      test(`src/${folder} may not say ${code}`, () => {
        assertFails(checkPurity, `src/${folder}/x.ts`, code, expected);
      });
    }
  }
  test('words in comments, strings, properties and longer names are nobody’s business', () => {
    const code = `// The Date of a Promise\nconst a = 'await'; b.process; const Dates = { async: 1 };\nconst awaited = Math.max(1, 2);\n`;
    assertPasses(checkPurity, 'src/scheduler/x.ts', code);
  });
  test('other folders and tests are free', () => {
    assertPasses(checkPurity, 'src/control/x.ts', 'const t = Date.now();');
    assertPasses(checkPurity, 'src/scheduler/x.test.ts', "import { test } from 'node:test';");
  });
});

describe('databases', () => {
  const ways = [
    "import { DatabaseSync } from 'node:sqlite';",
    "import type { DatabaseSync } from 'node:sqlite';",
    "const { DatabaseSync } = await import('node:sqlite');",
    "const { DatabaseSync } = process.getBuiltinModule('node:sqlite');",
    "const { DatabaseSync } = require('node:sqlite');",
  ];
  for (const code of ways) {
    test(`only the store and the simulated machine may say ${code}`, () => {
      for (const folder of ['http', 'control', 'telemetry', 'cli', 'engines/vllm', 'weights'])
        assertFails(checkDatabases, `src/${folder}/x.ts`, code, /ask the store/);
      for (const file of ['src/store/x.ts', 'src/engines/simulated/x.ts', 'src/http/x.test.ts', 'test/x.ts'])
        assertPasses(checkDatabases, file, code);
    });
  }
  test('words in comments and other modules are nobody’s business', () => {
    const code = "// import of 'node:sqlite'\nconst a = 'node:sqlite';\nimport { b } from 'node:fs';\n";
    assertPasses(checkDatabases, 'src/http/x.ts', code);
  });
});

describe('arrows', () => {
  const violations: [string, string, RegExp][] = [
    ['src/core/x.ts', "import { a } from '../config/a.ts';", /may not import `src\/config`/],
    ['src/core/x.ts', "import type { a } from '../engines/engine.ts';", /may not import `src\/engines`/],
    ['src/scheduler/x.ts', "import type { a } from '../engines/engine.ts';", /may not import `src\/engines`/],
    ['src/proxy/x.ts', "import { a } from '../scheduler/a.ts';", /may not import/],
    ['src/proxy/x.ts', "import { a } from '../control/gate.ts';", /`import type`/],
    ['src/engines/vllm/x.ts', "export { a } from '../../runtimes/process/a.ts';", /may not import/],
    ['src/http/x.ts', "const a = await import('../runtimes/a.ts');", /may not import/],
    ['src/http/x.ts', "import { a } from '../../tools/a.ts';", /leaves src/],
    ['src/novelty/x.ts', '', /no row/],
  ];
  for (const [file, code, expected] of violations) {
    test(`${file} may not say ${code}`, () => assertFails(checkArrows, file, code, expected));
  }
  test('allowed ways pass', () => {
    assertPasses(
      checkArrows,
      'src/http/x.ts',
      "import { a } from '../core/a.ts'; import './b.ts'; import 'undici';",
    );
    assertPasses(checkArrows, 'src/scheduler/x.ts', "import { a } from '../placement/a.ts';");
    assertPasses(checkArrows, 'src/proxy/x.ts', "import type { a } from '../control/gate.ts';");
    assertPasses(checkArrows, 'src/devices/x.ts', "import { a } from '../engines/simulated/ledger.ts';");
    assertPasses(checkArrows, 'src/core/x.test.ts', "import { a } from '../http/a.ts';");
    assertPasses(checkArrows, 'tools/x.ts', "import { a } from '../src/http/a.ts';");
  });
});

test('size: 600 lines pass, 601 fail, over 400 is a note that fails nothing', () => {
  assertPasses(checkSize, 'src/http/x.ts', 'x\n'.repeat(400));
  assert.match(messages(checkSize, 'src/http/x.ts', 'x\n'.repeat(401)).join(), /^note .*401 lines/);
  assert.match(messages(checkSize, 'src/http/x.ts', 'x\n'.repeat(600)).join(), /^note/);
  assertFails(checkSize, 'src/http/x.ts', 'x\n'.repeat(601), /601 lines/);
  assertFails(checkSize, 'tools/x.py', 'x\n'.repeat(601), /601 lines/);
  assertPasses(checkSize, 'docs/long.md', 'x\n'.repeat(2000));
});

describe('names', () => {
  for (const [file, expected] of [
    ['src/http/utils.ts', /`utils` says nothing/],
    ['src/http/body-helper.ts', /`helper` says nothing/],
    ['src/engine-manager/x.ts', /`manager` says nothing/],
    ['src/common/x.ts', /`common` says nothing/],
    ['src/http/index.ts', /no index files/],
    ['src/http/bodyScan.ts', /not kebab-case/],
    ['src/http/body_scan.ts', /not kebab-case/],
  ] as const) {
    test(`${file} is refused`, () => assertFails(checkNames, file, '', expected));
  }
  test('nouns in kebab-case pass', () => {
    assertPasses(checkNames, 'src/http/body-scan.test.ts', '');
    assertPasses(checkNames, 'src/core/commonwealth.ts', '');
    assertPasses(checkNames, 'bin/vllm-gateway.mjs', '');
    assertPasses(checkNames, 'docs/README.md', '');
  });
});

describe('words', () => {
  // Put together here, so that this file does not break the rule itself.
  const violations: [string, string, RegExp][] = [
    ['src/x.ts', `// ${'TO'}DO later`, /finish it/],
    ['README.md', `${'FIX'}ME`, /finish it/],
    ['README.md', `see https://www.${'npm'}js.com/package/x`, /registry/],
    ['tools/x.py', `index = "https://${'pypi'}.org/simple"`, /registry/],
    ['src/x.ts', `const a = '/${'root'}/.cache';`, /absolute path/],
    ['docs/x.md', `cd /${'work'}/main`, /absolute path/],
    ['src/x.ts', `// @ts-${'ignore'}: reason`, /with a reason/],
    ['src/x.ts', `// @ts-${'expect-error'}\nx();`, /say after/],
  ];
  for (const [file, text, expected] of violations) {
    test(`${JSON.stringify(text)} in ${file} is refused`, () =>
      assertFails(checkWords, file, text, expected));
  }
  test('ordinary text passes', () => {
    assertPasses(
      checkWords,
      'README.md',
      'Put it under `~/root/x` or /opt/models; see ./work/x. method: todo; -v /root/.cache/huggingface:/cache',
    );
    assertPasses(
      checkWords,
      'src/x.ts',
      `// @ts-${'expect-error'}: the client sends what the type forbids\n`,
    );
    assertPasses(checkWords, 'package-lock.json', `https://registry.${'npm'}js.org/`);
  });
});

describe('dependencies', () => {
  const check = (manifest: object, document: string) =>
    checkDependencies([
      checkedFile('package.json', JSON.stringify(manifest)),
      checkedFile('ARCHITECTURE.md', document),
    ]).map(formatFinding);
  const manifest = { dependencies: { undici: '7' }, devDependencies: { '@biomejs/biome': '2' } };
  const justified =
    '# A\n## Dependencies\n- `undici` the data path\n### Development\n- `@biomejs/biome` lint\n## Next\n';

  test('each dependency needs its line, development ones too', () => {
    assert.deepEqual(check(manifest, justified), []);
    assert.match(check(manifest, '## Dependencies\n- `undici` data\n').join(), /@biomejs\/biome/);
  });
  test('a line outside of the section does not count', () => {
    assert.match(
      check(manifest, `${justified.replace('- `undici` the', 'the')}- \`undici\` x\n`).join(),
      /`undici`/,
    );
  });
  test('a line for what is no dependency, and a missing section, are refused', () => {
    assert.match(check({ dependencies: {} }, '## Dependencies\n- `left-pad` x\n').join(), /left-pad/);
    assert.match(check(manifest, '# A\n').join(), /no section/);
  });
});

test('assertions: a test file must assert, itself or by a shared suite', () => {
  const header = "import assert from 'node:assert/strict';\n";
  assertFails(
    checkAssertions,
    'src/x.test.ts',
    `${header}test('a', () => { f(); });`,
    /without an assertion/,
  );
  assertFails(
    checkAssertions,
    'src/x.test.ts',
    `${header}// assert.ok(1)\ntest('a', f);`,
    /without an assertion/,
  );
  assertPasses(checkAssertions, 'src/x.test.ts', `${header}test('a', () => assert.ok(f()));`);
  assertPasses(checkAssertions, 'src/x.ts', '');
  const sharing = (shared: string, code: string) =>
    checkAssertions([
      checkedFile('src/x.test.ts', `import { suite } from '${shared}'; suite(f);`),
      checkedFile('src/conformance.ts', code),
      checkedFile('src/product.ts', code),
    ]).length;
  assert.equal(sharing('./conformance.ts', `${header}export const suite = () => assert.ok(1);`), 0);
  assert.equal(sharing('./conformance.ts', `${header}export const suite = () => f();`), 1);
  assert.equal(sharing('./product.ts', `${header}export const suite = () => assert.ok(1);`), 1);
});

test('this checkout is tidy', () => {
  const files = readCheckout(path.dirname(path.dirname(import.meta.dirname)));
  assert.ok(files.length > 0);
  const failures = checkAll(files).filter((finding) => finding.level === 'fail');
  assert.deepEqual(failures.map(formatFinding), []);
});
