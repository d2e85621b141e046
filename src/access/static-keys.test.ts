import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import {
  createStaticKeys,
  KEY_CHARS_MAX,
  KEY_FILE_BYTES_MAX,
  loadStaticKeys,
  parseKeys,
  type StaticKeys,
} from './static-keys.ts';

function keysOf(text: string): StaticKeys {
  const parsed = parseKeys(text);
  assert(parsed.ok, JSON.stringify(parsed));
  return createStaticKeys(parsed.value);
}

function outcome(keys: StaticKeys, authorization: string | null, apiKey: string | null = null): string {
  const result = keys.authenticate({ authorization, apiKey });
  return result.kind === 'ok' ? result.principal.name : result.refusal.code;
}

function faultsOf(text: string): string[] {
  const parsed = parseKeys(text);
  assert(!parsed.ok);
  return parsed.error.map((fault) => `${fault.line}: ${fault.text}`);
}

describe('authenticate', () => {
  const hashed = createHash('sha256').update('hashed-key-1').digest('hex');
  const keys = keysOf(
    `# ours\n\nalice: alice-key-1\nplain-key-1\r\n  bob@x:\tbob:key:1  \nci: sha256:${hashed}\n`,
  );

  it('takes keys as a bearer token or as x-api-key', () => {
    assert.equal(keys.count, 4);
    assert.equal(outcome(keys, 'Bearer alice-key-1'), 'alice');
    assert.equal(outcome(keys, 'bearer  alice-key-1 '), 'alice');
    assert.equal(outcome(keys, null, 'alice-key-1'), 'alice');
    assert.equal(outcome(keys, 'Bearer plain-key-1'), 'key-4');
    assert.equal(outcome(keys, 'Bearer bob:key:1'), 'bob@x');
    assert.equal(outcome(keys, 'Bearer hashed-key-1'), 'ci');
  });

  it('needs one known key when both headers are sent', () => {
    assert.equal(outcome(keys, 'Bearer unknown', 'alice-key-1'), 'alice');
    assert.equal(outcome(keys, 'Basic YTpi', 'alice-key-1'), 'alice');
    assert.equal(outcome(keys, 'Bearer alice-key-1', 'unknown'), 'alice');
  });

  it('tells a missing key from an unknown one', () => {
    for (const none of [null, '', 'Bearer', 'Bearer ', 'Basic YTpi', 'alice-key-1', 'Beareralice-key-1']) {
      assert.equal(outcome(keys, none), 'key_missing', String(none));
    }
    assert.equal(outcome(keys, null, ''), 'key_missing');
    for (const unknown of [
      'alice-key-',
      'alice-key-11',
      'ALICE-KEY-1',
      'alice',
      hashed,
      `sha256:${hashed}`,
    ]) {
      assert.equal(outcome(keys, `Bearer ${unknown}`), 'key_invalid', unknown);
      assert.equal(outcome(keys, null, unknown), 'key_invalid', unknown);
    }
  });

  it('keeps no key in memory that an inspection could show', () => {
    const parsed = parseKeys('alice: alice-key-1');
    assert(parsed.ok);
    const shown = inspect([parsed.value, createStaticKeys(parsed.value)], { depth: 9, showHidden: true });
    assert(!shown.includes('alice-key-1'));
  });
});

describe('parseKeys', () => {
  it('reports all faults with their lines and never the key', () => {
    assert.deepEqual(
      faultsOf('short\nalice: good-key-1\nalice: good-key-2\ngood-key-1\nwith a space\nüber-key-1'),
      [
        '1: a key has 8 to 512 characters, this one 5',
        '3: the name alice stands in line 2 already',
        '4: the same key stands in line 2',
        '5: expected `KEY` or `NAME: KEY`, the key without spaces and in ASCII',
        '6: expected `KEY` or `NAME: KEY`, the key without spaces and in ASCII',
      ],
    );
    assert.equal(faultsOf('x'.repeat(KEY_CHARS_MAX + 1)).length, 1);
  });

  it('refuses a file without a key', () => {
    for (const text of ['', '\n', '# only a comment\n'])
      assert.deepEqual(faultsOf(text), ['0: it holds no key']);
  });
});

describe('loadStaticKeys', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'static-keys-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('reads a file and warns when everybody may read it', async () => {
    const file = join(folder, 'keys');
    await writeFile(file, 'alice: alice-key-1\n');
    await chmod(file, 0o600);
    const tight = await loadStaticKeys(file);
    assert(tight.ok);
    assert.deepEqual([tight.value.keys.count, tight.value.warnings], [1, []]);
    await chmod(file, 0o644);
    const open = await loadStaticKeys(file);
    assert(open.ok && open.value.warnings.length === 1);
  });

  it('says why a file cannot be used', async () => {
    const big = join(folder, 'big');
    await writeFile(big, '#'.repeat(KEY_FILE_BYTES_MAX + 1));
    for (const [file, why] of [
      [join(folder, 'absent'), /cannot be read: ENOENT/],
      [folder, /not a regular file/],
      [big, /larger than/],
    ] as const) {
      const loaded = await loadStaticKeys(file);
      assert(!loaded.ok);
      assert.match(loaded.error[0]?.text ?? '', why);
    }
  });
});
