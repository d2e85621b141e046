import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import { describe, it } from 'node:test';
import { renderErrorDocs } from '../../tools/generate-error-docs.ts';
import { ERRORS, type ErrorCode, type ErrorEntry, errorMessage } from './errors.ts';

const entries = Object.entries(ERRORS) as [ErrorCode, ErrorEntry][];
const root = new URL('../../', import.meta.url);

/** Statuses that each type may stand for, as OpenAI's clients expect them. */
const STATUSES_OF_TYPE: Record<ErrorEntry['type'], (status: number) => boolean> = {
  invalid_request_error: (status) =>
    status !== 500 && ![401, 403, 404, 429].includes(status) && status <= 501,
  authentication_error: (status) => status === 401,
  permission_error: (status) => status === 403,
  not_found_error: (status) => status === 404,
  rate_limit_error: (status) => status === 429,
  overloaded_error: (status) => status === 503 || status === 507,
  api_error: (status) => status >= 500,
};

function placeholders(template: string): string[] {
  return [...template.matchAll(/\{(\w*)\}/g)].map((match) => match[1] ?? '');
}

describe('the catalogue of errors', () => {
  it('has statuses that exist and fit their type', () => {
    for (const [code, { status, type }] of entries) {
      assert(STATUS_CODES[status] !== undefined && status >= 400, `${code}: ${status}`);
      assert(STATUSES_OF_TYPE[type](status), `${code}: ${type} does not go with ${status}`);
    }
  });

  it('blames the client for 4xx alone, and never for its limits', () => {
    for (const [code, { status, fault }] of entries) {
      if (status >= 400 && status < 500 && status !== 429) assert.equal(fault, 'client', code);
      if (status === 500 || status === 504) assert.notEqual(fault, 'client', code);
    }
  });

  it('has codes, messages and remedies of one form', () => {
    for (const [code, { template, remedy }] of entries) {
      assert.match(code, /^[a-z]+(_[a-z0-9]+)*$/);
      assert.match(template, /^[A-Z`{].*(\.|\{hint\})$/s, `${code}: a message is a sentence`);
      assert.match(remedy, /^[A-Z].*\.$/s, `${code}: a remedy is a sentence`);
    }
  });

  it('has placeholders that can be filled, and fills all of them', () => {
    for (const [code, { template }] of entries) {
      const names = placeholders(template);
      for (const name of names) assert.match(name, /^[a-z][A-Za-z]*$/, `${code}: {${name}}`);
      assert.equal(template.replaceAll(/\{\w+\}/g, '').search(/[{}]/), -1, `${code}: a brace without a name`);
      const message = errorMessage(code, Object.fromEntries(names.map((name) => [name, 7])));
      assert.equal(message.search(/[{}]/), -1, `${code}: ${message}`);
    }
  });

  it('leaves a placeholder visible when its parameter is missing', () => {
    assert.equal(errorMessage('body_not_json', {}), 'The body is not valid JSON: {detail}.');
  });

  it('never fills a parameter with what stands in another one', () => {
    assert.equal(
      errorMessage('start_failed', { model: '{cause}', cause: '{model} $& $1' }),
      '`{cause}` did not start: {model} $& $1.',
    );
  });
});

describe('docs/errors.md', () => {
  const text = readFileSync(new URL('docs/errors.md', root), 'utf8');

  it('has a section for every code, and a code for every section and row', () => {
    const codes = entries.map(([code]) => code as string);
    assert.deepEqual(
      [...text.matchAll(/^### (.+)$/gm)].map((match) => match[1]),
      codes,
    );
    assert.deepEqual(
      [...text.matchAll(/^\| \[`(\w+)`\]/gm)].map((match) => match[1]),
      codes,
    );
  });

  it('is what `node tools/generate-error-docs.ts` writes', () => {
    assert.equal(text, renderErrorDocs());
  });
});

describe('errors in the source', () => {
  it('are built with every parameter that their message needs', () => {
    const src = new URL('src/', root);
    const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => {
      return file.endsWith('.ts') && !file.endsWith('.test.ts');
    });
    for (const file of files) {
      const source = readFileSync(new URL(file, src), 'utf8');
      for (const [, code, list] of source.matchAll(/code: '(\w+)',\s*parameters: \{([^{}]*)\}/g)) {
        if (code === undefined || list === undefined || list.includes('...')) continue;
        assert(Object.hasOwn(ERRORS, code), `${file}: ${code} is not in the catalogue`);
        const given = [...list.matchAll(/(?:^|,)\s*(\w+)\s*(?=[:,]|$)/g)].map((match) => match[1] ?? '');
        const needed = placeholders(ERRORS[code as ErrorCode].template);
        for (const name of needed) assert(given.includes(name), `${file}: ${code} lacks {${name}}`);
        for (const name of given) assert(needed.includes(name), `${file}: ${code} has no {${name}}`);
      }
    }
  });
});
