/**
 * The property that routing of forms rests on: whatever the bytes and however they are cut, the scan never reports
 * another model than the readers behind it. Mutated forms are judged by @fastify/busboy and, where there is one (the
 * Python of `FUZZ_PYTHON` or python3), by Starlette, which is what vLLM uses.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { Busboy } from '@fastify/busboy';
import { createPrng, type Prng } from '../core/prng.ts';
import { type FormScan, MultipartScan } from './multipart-scan.ts';
import { readBoundary } from './part-head.ts';

const SEED = 20_251_124;
const FORMS = 30_000;
const BUSBOY_FORMS = 8_000;
const PIECE_BYTES_MAX = 40;
const PYTHON = process.env['FUZZ_PYTHON'] ?? 'python3';

interface Form {
  readonly contentType: string;
  readonly body: Buffer;
}

const CONTENT_TYPES = [
  'multipart/form-data; boundary=b0',
  'multipart/form-data; boundary="b0"',
  'multipart/form-data; charset=utf-8; boundary=b0',
];

function seed(...parts: readonly string[]): Buffer {
  return Buffer.from(`${parts.map((part) => `--b0\r\n${part}\r\n`).join('')}--b0--\r\n`);
}

const FILE =
  'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b\r\n-\r\n\0';
const SEEDS = [
  seed(FILE, 'Content-Disposition: form-data; name="model"\r\n\r\nalpha'),
  seed('Content-Disposition: form-data; name="model"\r\n\r\nbeta', FILE),
  seed(
    'content-disposition:form-data;name=model\r\n\r\nγ',
    'Content-Disposition: form-data; name="stream"\r\n\r\ntrue',
  ),
  seed(
    'Content-Disposition: form-data; name="language"\r\n\r\nen',
    'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="model"\r\n\r\ndelta\r\n',
  ),
  seed('Content-Disposition: form-data; name="model"; filename="x"\r\n\r\nbytes'),
  seed('Content-Disposition: form-data; filename="name=\\"model\\""; name="other"\r\n\r\nx', FILE),
];

/** Pieces that tend to matter to a reader. */
const TOKENS = [
  '\r\n',
  '\r',
  '\n',
  '\r\n\r\n',
  '--b0',
  '\r\n--b0',
  '\r\n--b0\r\n',
  '\r\n--b0--',
  '--',
  ' ',
  '\t',
  ';',
  '"',
  '\\',
  '\\"',
  '=',
  ':',
  '*',
  '\0',
  '\x85',
  ';name="model"',
  '; name=model',
  "; name*=utf-8''model",
  '; name*0="model"',
  '; filename=""',
  '; filename="x\\\\"',
  'Name',
  'model',
  '<model>',
  "'",
  '%6d',
  'Content-Disposition: form-data; name="model"\r\n\r\nevil\r\n--b0\r\n',
  'Content-Disposition: form-data; name="model"\r\n',
  'Content-Disposition: ',
  'Content-Transfer-Encoding: base64\r\n',
  'Content-Type: text/plain; charset=utf-16le\r\n',
].map((text) => Buffer.from(text));

function mutate(prng: Prng): Form {
  const pick = <T>(list: readonly T[]): T => list[prng.integer(list.length)] as T;
  let body: Buffer = pick(SEEDS);
  for (let round = prng.integer(4); round > 0; round--) {
    const at = prng.integer(body.length + 1);
    const to = Math.min(body.length, at + prng.integer(12));
    const head = body.subarray(0, at);
    switch (prng.integer(6)) {
      case 0:
        body = Buffer.concat([head, pick(TOKENS), body.subarray(at)]);
        break;
      case 1:
        body = Buffer.concat([head, pick(TOKENS), body.subarray(to)]);
        break;
      case 2:
        body = Buffer.concat([head, body.subarray(to)]);
        break;
      case 3:
        body = Buffer.concat([head, body.subarray(at, to), body.subarray(at)]);
        break;
      case 4: {
        const other = pick(SEEDS);
        body = Buffer.concat([head, other.subarray(prng.integer(other.length))]);
        break;
      }
      default: {
        const changed = Buffer.from(body);
        if (at < changed.length) changed[at] = prng.integer(256);
        body = changed;
      }
    }
  }
  return { contentType: pick(CONTENT_TYPES), body };
}

/** `refused`, `no model`, `file`, or `=` and the name. */
type Verdict = string;

function scanInPieces({ contentType, body }: Form, prng: Prng): FormScan {
  const boundary = readBoundary(contentType);
  assert(boundary.ok);
  const scan = new MultipartScan(boundary.value);
  for (let at = 0; at < body.length; ) {
    const end = Math.min(body.length, at + 1 + prng.integer(PIECE_BYTES_MAX));
    scan.push(Buffer.from(body.subarray(at, end)));
    at = end;
  }
  return scan.end();
}

function verdictOf(scan: FormScan): Verdict {
  if (scan.kind === 'fault') return 'refused';
  return scan.model === null ? 'no model' : `=${scan.model}`;
}

/** The last field counts, as in Python's dictionaries. */
function verdictOfBusboy({ contentType, body }: Form): Promise<Verdict> {
  return new Promise((resolve) => {
    let verdict = 'no model';
    try {
      const busboy = new Busboy({
        headers: { 'content-type': contentType },
        isPartAFile: (_name, _type, fileName) => fileName !== undefined,
      });
      busboy.on('field', (name, value) => {
        if (name === 'model') verdict = `=${value}`;
      });
      busboy.on('file', (name, stream) => {
        if (name === 'model') verdict = 'file';
        stream.on('error', () => resolve('refused'));
        stream.resume();
      });
      busboy.on('error', () => resolve('refused'));
      busboy.on('finish', () => resolve(verdict));
      busboy.end(body);
    } catch {
      resolve('refused');
    }
  });
}

const ORACLE = `
import sys, json, base64, asyncio
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
async def read(content_type, body):
    async def stream():
        yield body
    form = await MultiPartParser(Headers({'content-type': content_type}), stream()).parse()
    model = form.get('model')
    if model is None: return 'no model'
    return '=' + model if isinstance(model, str) else 'file'
async def main():
    for line in sys.stdin:
        form = json.loads(line)
        try:
            verdict = await read(form['type'], base64.b64decode(form['body']))
        except Exception:
            verdict = 'refused'
        print(json.dumps(verdict))
asyncio.run(main())
`;

function verdictsOfStarlette(forms: readonly Form[]): Verdict[] {
  const input = forms.map(({ contentType, body }) =>
    JSON.stringify({ type: contentType, body: body.toString('base64') }),
  );
  const python = spawnSync(PYTHON, ['-I', '-c', ORACLE], {
    input: input.join('\n'),
    encoding: 'utf8',
    maxBuffer: 1024 ** 3,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return python.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as string);
}

describe(`MultipartScan on ${FORMS} mutated forms`, () => {
  const prng = createPrng(SEED);
  const forms = Array.from({ length: FORMS }, () => mutate(prng));
  const scans = forms.map((form) => scanInPieces(form, prng));

  function compare(theirs: readonly Verdict[]): number {
    let both = 0;
    for (const [index, their] of theirs.entries()) {
      const our = verdictOf(scans[index] as FormScan);
      const said = `seed ${SEED}, form ${index}: ${JSON.stringify(forms[index]?.body.toString('latin1'))}`;
      assert(our === 'refused' || their === 'refused' || our === their, `${said}: ${our} is not ${their}`);
      if (our !== 'refused' && our === their) both += 1;
    }
    return both;
  }

  it('gives positions that hold exactly the model', () => {
    for (const [index, scan] of scans.entries()) {
      if (scan.kind === 'fault' || scan.model === null) continue;
      const body = forms[index]?.body;
      assert.equal(body?.toString('utf8', scan.modelStart, scan.modelEnd), scan.model);
      assert.equal(body?.toString('latin1', scan.modelStart - 4, scan.modelStart), '\r\n\r\n');
      assert.equal(body?.toString('latin1', scan.modelEnd, scan.modelEnd + 6), '\r\n--b0');
    }
  });

  it('judges whole forms as it judges them in pieces', () => {
    for (const [index, form] of forms.entries()) {
      const boundary = readBoundary(form.contentType);
      assert(boundary.ok);
      const whole = new MultipartScan(boundary.value);
      whole.push(form.body);
      assert.deepEqual(whole.end(), scans[index], `form ${index}`);
    }
  });

  it('never sees another model than busboy', async (test) => {
    const theirs: Verdict[] = [];
    for (const form of forms.slice(0, BUSBOY_FORMS)) theirs.push(await verdictOfBusboy(form));
    const both = compare(theirs);
    test.diagnostic(`${both} of ${theirs.length} forms were read alike`);
    assert(both > BUSBOY_FORMS / 5, 'the mutations leave too few forms whole to say anything');
  });

  it('never sees another model than Starlette', (test) => {
    if (spawnSync(PYTHON, ['-I', '-c', 'import starlette.formparsers, python_multipart']).status !== 0) {
      test.skip('there is no Starlette on this machine');
      return;
    }
    const theirs = verdictsOfStarlette(forms);
    assert.equal(theirs.length, FORMS);
    const both = compare(theirs);
    test.diagnostic(`${both} of ${FORMS} forms were read alike`);
    assert(both > FORMS / 5, 'the mutations leave too few forms whole to say anything');
  });
});
