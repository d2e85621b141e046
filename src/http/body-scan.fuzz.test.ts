/**
 * The property that the gateway's routing rests on: whatever the bytes, the scan never reports another model than the
 * parsers behind it. Mutated bodies are judged by JSON.parse and, where there is one, by Python's json, which is what
 * vLLM uses.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { before, describe, it } from 'node:test';
import { createPrng, type Prng } from '../core/prng.ts';
import { scanBody } from './body-scan.ts';

const BODIES = 100_000;
const SEED = 20_251_103;

const SEEDS = [
  '{"model":"alpha","messages":[{"role":"user","content":"hi \\"there\\""}],"stream":true}',
  '{ "messages" : [ {"content":"\\u0041","model":"inner"} ] , "mod\\u0065l" : "be\\u0074a" }',
  '{"a":{"model":"x"},"b":[1,-2.5e3,null],"model":"γάμμα","stream":false}',
  '{"prompt":"a long enough string, past the part that is read byte by byte \\\\\\" and on","model":"d"}',
  '{"model":"e\\ud83d\\ude00","x":"\\ud800","model2":"m"}',
  '{"stream":true,"n":0,"model":"f","tools":[[[{}]]]}',
  '{"model":"g"}',
  '{"input":["😀","é"],"model":"h\\\\","":""}',
].map((text) => Buffer.from(text));

/** Pieces that tend to matter to a parser. */
const TOKENS = [
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  ' ',
  '\n',
  '\0',
  '"model"',
  '"model":"evil"',
  ',"model":"evil"',
  '"stream":1',
  'model',
  '\\u006d',
  '\\u0022',
  '\\"',
  '\\\\',
  '\\ud800',
  'NaN',
  '-Infinity',
  'null',
  'true',
  '1e999',
  '\u2028',
  '/**/',
  "'",
  '"mode\\u006c":"evil",',
  '{"model":"evil"}',
  '\uFEFF',
  '"a":"',
  '"}',
].map((text) => Buffer.from(text));

function mutate(prng: Prng): Buffer {
  const pick = <T>(list: readonly T[]): T => list[prng.integer(list.length)] as T;
  let body: Buffer = pick(SEEDS);
  const rounds = prng.integer(4);
  for (let round = 0; round < rounds; round++) {
    const at = prng.integer(body.length + 1);
    const to = Math.min(body.length, at + prng.integer(12));
    const head = body.subarray(0, at);
    switch (prng.integer(7)) {
      case 0: {
        const changed = Buffer.from(body);
        if (at < changed.length) changed[at] = prng.integer(256);
        body = changed;
        break;
      }
      case 1:
        body = Buffer.concat([head, pick(TOKENS), body.subarray(at)]);
        break;
      case 2:
        body = Buffer.concat([head, pick(TOKENS), body.subarray(to)]);
        break;
      case 3:
        body = Buffer.concat([head, body.subarray(to)]);
        break;
      case 4:
        body = Buffer.concat([head, body.subarray(at, to), body.subarray(at)]);
        break;
      case 5: {
        const other = pick(SEEDS);
        body = Buffer.concat([head, other.subarray(prng.integer(other.length))]);
        break;
      }
      default:
        body = Buffer.concat([head, body.subarray(at, to + 1), pick(TOKENS), body.subarray(to)]);
    }
  }
  return body;
}

/** What a parser sees: `refused`, `no object`, `no model`, `other` for a model that is no string, or `=` and the name. */
type Verdict = string;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function verdictOfScan(body: Buffer): Verdict {
  const scan = scanBody(body);
  if (scan.kind === 'fault') return 'refused';
  return scan.model === null ? 'no model' : `=${scan.model}`;
}

function verdictOfJavaScript(body: Buffer): Verdict {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch {
    return 'refused';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'no object';
  if (!Object.hasOwn(value, 'model')) return 'no model';
  const { model } = value as { model: unknown };
  return typeof model === 'string' ? `=${model}` : 'other';
}

const ORACLE = `
import sys, json, base64
for line in sys.stdin.buffer:
    try:
        value = json.loads(base64.b64decode(line))
    except (ValueError, RecursionError):
        print('refused')
        continue
    if type(value) is not dict: print('no object')
    elif 'model' not in value: print('no model')
    elif type(value['model']) is not str: print('other')
    else: print('=' + base64.b64encode(value['model'].encode('utf-16-le', 'surrogatepass')).decode())
`;

async function verdictsOfPython(bodies: readonly Buffer[]): Promise<Verdict[]> {
  const python: ChildProcess = spawn('python3', ['-I', '-c', ORACLE], { stdio: ['pipe', 'pipe', 'inherit'] });
  const { stdin, stdout } = python;
  assert(stdin !== null && stdout !== null);
  const verdicts: Verdict[] = [];
  const lines = createInterface({ input: stdout });
  lines.on('line', (line) => {
    verdicts.push(
      line.startsWith('=') ? `=${Buffer.from(line.slice(1), 'base64').toString('utf16le')}` : line,
    );
  });
  const closed = once(lines, 'close');
  for (let at = 0; at < bodies.length; at += 1000) {
    const batch = bodies.slice(at, at + 1000).map((body) => `${body.toString('base64')}\n`);
    if (!stdin.write(batch.join(''))) await once(stdin, 'drain');
  }
  stdin.end();
  await closed;
  return verdicts;
}

/** The scan may refuse what a parser takes, and take what it refuses, but never see another model. */
function agree(ours: Verdict, theirs: Verdict): boolean {
  return ours === 'refused' || theirs === 'refused' || ours === theirs;
}

describe(`scanBody on ${BODIES} mutated bodies`, () => {
  const bodies: Buffer[] = [];
  const verdicts: Verdict[] = [];

  before(() => {
    const prng = createPrng(SEED);
    for (let count = 0; count < BODIES; count++) {
      const body = mutate(prng);
      bodies.push(body);
      verdicts.push(verdictOfScan(body));
    }
  });

  function compare(theirs: readonly Verdict[]): { both: number } {
    let both = 0;
    assert.equal(theirs.length, bodies.length);
    for (const [index, body] of bodies.entries()) {
      const [our, their] = [verdicts[index] as string, theirs[index] as string];
      assert(
        agree(our, their),
        `seed ${SEED}, body ${index}: ${body.toString('latin1')}: ${our} is not ${their}`,
      );
      if (our !== 'refused' && our === their) both++;
    }
    return { both };
  }

  it('never sees another model than JSON.parse', (test) => {
    const { both } = compare(bodies.map(verdictOfJavaScript));
    test.diagnostic(`${both} bodies were accepted by both`);
    assert(both > BODIES / 5, 'the mutations leave too few bodies whole to say anything');
  });

  it("never sees another model than Python's json", async (test) => {
    const version = spawnSync('python3', ['--version'], { encoding: 'utf8' });
    if (version.status !== 0) {
      test.skip('there is no python3 on this machine');
      return;
    }
    const { both } = compare(await verdictsOfPython(bodies));
    test.diagnostic(`${both} bodies were accepted by both, ${version.stdout.trim()}`);
    assert(both > BODIES / 5, 'the mutations leave too few bodies whole to say anything');
  });
});
