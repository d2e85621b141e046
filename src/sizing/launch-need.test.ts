import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { device, learnedUse, MIXED, question } from '../../test/fixtures/launch-questions.ts';
import { publishedFacts } from '../../test/fixtures/model-configs.ts';
import { type CandidateDevice, tensorParallelChoices } from './device-fit.ts';
import { footprint } from './footprint.ts';
import { launchNeed } from './launch-need.ts';
import { footprintRequest } from './launch-options.ts';
import type { LaunchNeed, SizingQuestion } from './launch-question.ts';

const MIB = 1024 * 1024;
const LLAMA_8B = publishedFacts('llama-3.1-8b');
const LLAMA_1B = publishedFacts('llama-3.2-1b');
const LLAMA_70B = publishedFacts('llama-3.1-70b');

/** Of a result that some device can hold. */
function need(...asked: Parameters<typeof question>): LaunchNeed {
  const answer = launchNeed(question(...asked));
  assert.equal(answer.neverFits, null);
  return answer;
}

test('budget: (weights + KV cache) x 1.1 + 1024 MiB, and the cache as a whole number of MiB', () => {
  // 8,030,261,248 parameters x 2 bytes = 16,060,522,496; 4 x 8192 tokens x 131,072 bytes = 4,294,967,296.
  // (16,060,522,496 + 4,294,967,296) x 1.1 / 2^20 + 1024 = 22,377.8
  const { memoryMibPerDevice, kvCacheBytes, deviceCount, source } = need(LLAMA_8B);
  assert.deepEqual(
    { memoryMibPerDevice, kvCacheBytes, deviceCount, source },
    { memoryMibPerDevice: 22_378, kvCacheBytes: 4096 * MIB, deviceCount: 1, source: 'computed' },
  );
});

test('budget with other numbers: they are BUDGET_OVERHEAD_FACTOR and BUDGET_OVERHEAD_MIB', () => {
  // (16,060,522,496 + 4,294,967,296) x 1.05 / 2^20 + 512 = 20,895.1
  const numbers = { ...question(null).numbers, overhead: { factor: 1.05, mib: 512 } };
  assert.equal(need(LLAMA_8B, {}, { numbers }).memoryMibPerDevice, 20_896);
});

test('budget: parts add up to the need', () => {
  for (const facts of [LLAMA_8B, LLAMA_1B]) {
    const { parts, memoryMibPerDevice } = need(facts);
    assert.ok(parts !== null);
    assert.equal(parts.weightsMib + parts.kvMib + parts.overheadMib, memoryMibPerDevice);
  }
});

test('adapters take room beside the weights, by their number, their rank and what extra_args say', () => {
  // 32 layers of 4 x 4096 + 4096 + 2 x 1024 + 4096 (attention) + 3 x (4096 + 14336) are 2,621,440 inputs and outputs;
  // 2 adapters x rank 16 x 2 bytes x that x 1.1 = 176 MiB beside the 22,377.8 MiB of above.
  const adapters = { perBatch: 2, rank: 16 };
  const both = need(LLAMA_8B, { adapters });
  assert.equal(both.memoryMibPerDevice, 22_554);
  assert.match(both.why, /\+ 2 adapters of rank 16\)/);
  const extraArgs = ['--max-loras=1', '--max-lora-rank', '32'];
  assert.equal(need(LLAMA_8B, { adapters, extraArgs }).memoryMibPerDevice, 22_554);
  assert.equal(need(LLAMA_8B, { adapters: { perBatch: 1, rank: 16 } }).memoryMibPerDevice, 22_466);
});

test('an 8-bit cache named in extra_args halves the cache', () => {
  for (const extraArgs of [['--kv-cache-dtype', 'fp8'], ['--kv_cache_dtype=fp8_e4m3']])
    assert.equal(need(LLAMA_8B, { extraArgs }).kvCacheBytes, 2048 * MIB);
});

test('budget: two devices of 24 GiB where one cannot hold it, never one of 24 and one of 12', () => {
  const two = need(LLAMA_8B, { kvReservationSeqs: 16 });
  assert.equal(two.deviceCount, 2);
  assert.match(two.why, /on 2 devices/);
  const alone = [device('a', 24_576), device('c', 12_288)];
  const { neverFits } = launchNeed(question(LLAMA_8B, { kvReservationSeqs: 16 }, { devices: alone }));
  assert.match(neverFits ?? '', /kv_reservation_seqs: 4 .*max_model_len: 2304 .*, with 2 such devices/);
});

test('what never fits is told with its numbers and the nearest changes, another pool first', () => {
  const devices = [device('a', 12_288, 'small'), device('b', 24_576, 'large'), device('c', 24_576, 'large')];
  const never = (options: Parameters<typeof question>[1]) =>
    launchNeed(question(LLAMA_8B, { pool: 'small', ...options }, { devices })).neverFits ?? '';
  assert.match(never({}), /needs 22378 MiB on one device \(weights 15317, KV cache 4096 for 4 x 8192 tokens/);
  assert.match(never({}), /pool small can give 11673 MiB; it would fit with pool: large, or tensor_parallel/);
  assert.match(never({ kvReservationSeqs: 16 }), /pool: large/);
  assert.doesNotMatch(never({ kvReservationSeqs: 200 }), /pool: large/);
});

test('a configured number of devices that are not there is told by their sizes', () => {
  const devices = [device('a', 24_576), device('c', 12_288)];
  const { neverFits } = launchNeed(question(LLAMA_1B, { tensorParallelSize: 2 }, { devices }));
  assert.match(neverFits ?? '', /not 2 of one size, but a with 24576 MiB, c with 12288 MiB/);
});

test('whole_card: the whole card, unless weights and one sequence need more of them', () => {
  const equal = MIXED.slice(0, 2);
  const options = { placementMode: 'whole_card', maxModelLen: 8192 } as const;
  const one = need(LLAMA_8B, options, { devices: equal });
  assert.deepEqual([one.deviceCount, one.memoryMibPerDevice, one.kvCacheBytes], [1, null, null]);
  // 16,060,522,496 + 65,536 x 131,072 bytes = 23,509 MiB, and 1024 MiB beside them > 0.9 x 24,576 MiB.
  assert.equal(need(LLAMA_8B, { ...options, maxModelLen: 65_536 }, { devices: equal }).deviceCount, 2);
  // The model's own 131,072 tokens: 15,317 + 16,384 + 1024 MiB.
  assert.equal(need(LLAMA_8B, { ...options, maxModelLen: 0 }, { devices: equal }).deviceCount, 2);
  assert.equal(need(null, options, { devices: equal }).deviceCount, 1);
});

test('whole_card: a native length that no number of devices holds is left to the engine', () => {
  const devices = [device('a', 24_576)];
  const options = { placementMode: 'whole_card', maxModelLen: 0 } as const;
  assert.equal(need(LLAMA_8B, options, { devices }).deviceCount, 1);
  const auto = { ...options, extraArgs: ['--max-model-len', 'auto'] };
  assert.equal(need(LLAMA_8B, auto).deviceCount, 1);
});

test('whole_card in a mixed pool: the parts tell what a card must have at the least, and a 12 GiB card has not', () => {
  const options = { placementMode: 'whole_card', maxModelLen: 8192 } as const;
  const learned = learnedUse({ usedMib: 22_000, kvCacheMib: 5000 });
  for (const whole of [need(LLAMA_8B, options), need(LLAMA_8B, options, { learned })]) {
    assert.equal(whole.memoryMibPerDevice, null);
    const { weightsMib = 0, kvMib = 0, overheadMib = 0 } = whole.parts ?? {};
    assert.ok(weightsMib + kvMib + overheadMib > 0.95 * 12_288);
  }
});

test('whole_card: a model too large for all cards never fits', () => {
  const { neverFits } = launchNeed(question(LLAMA_70B, { placementMode: 'whole_card' }));
  assert.match(neverFits ?? '', /on each of 2 devices.*tensor_parallel_size: 8/);
});

test('colocate: weights x 1.15 + KV cache + 1024 MiB, if that is at most 0.9 of the card', () => {
  const options = { placementMode: 'whole_card', colocate: true } as const;
  // 1,235,814,400 x 2 bytes x 1.15 / 2^20 = 2710.7; 4 x 8192 x 32,768 bytes = 1024 MiB; + 1024 = 4758.7
  const shared = need(LLAMA_1B, options);
  assert.deepEqual([shared.memoryMibPerDevice, shared.kvCacheBytes], [4759, 1024 * MIB]);
  // 16,060,522,496 x 1.15 / 2^20 = 17,613.8; + 4096 + 1024 = 22,733.8 > 0.9 x 24,576 = 22,118.4
  const whole = need(LLAMA_8B, options);
  assert.equal(whole.source, 'whole_device');
  assert.match(whole.why, /22734 MiB, and 22118 MiB \(colocate_max_share 0.9\)/);
  const fewer = need(LLAMA_8B, { ...options, kvReservationSeqs: 3 });
  assert.equal(fewer.memoryMibPerDevice, 21_710);
});

test('colocate: several devices or an unknown size mean a whole card, with the reason', () => {
  const options = { placementMode: 'whole_card', colocate: true } as const;
  assert.match(need(LLAMA_1B, { ...options, tensorParallelSize: 2 }).why, /several devices/);
  const unknown = need(null, options);
  assert.ok(unknown.measureAlone && /not known/.test(unknown.why));
  const learned = learnedUse({ usedMib: 8000, kvCacheMib: 4096 });
  assert.equal(need(null, options, { learned }).source, 'learned');
});

test('memory_mib is taken as it is, and refused where no device has it', () => {
  const configured = need(LLAMA_8B, { memoryMib: 9000 }, { learned: learnedUse() });
  assert.deepEqual(
    [configured.memoryMibPerDevice, configured.kvCacheBytes, configured.source],
    [9000, null, 'configured'],
  );
  assert.match(launchNeed(question(null, { memoryMib: 30_000 })).neverFits ?? '', /at most 23347 MiB/);
});

test('an unreadable model has whole devices, alone, until it was measured; then it packs', () => {
  const first = need(null);
  assert.deepEqual([first.memoryMibPerDevice, first.measureAlone, first.source], [null, true, 'unknown']);
  // Alone it used 21,000 MiB, 16,000 of it for 160,000 tokens of cache: 0.1 MiB a token, and 5000 MiB of other things.
  const learned = learnedUse({ usedMib: 21_000, kvCacheMib: 16_000, kvCacheTokens: 160_000 });
  const next = need(null, {}, { learned });
  // 4 x 8192 tokens x 0.1 MiB = 3276.8, rounded up; ceil((5000 + 3277) x 1.02) + 1024.
  assert.deepEqual(
    [next.memoryMibPerDevice, next.kvCacheBytes, next.source, next.measureAlone],
    [9467, 3277 * MIB, 'learned', false],
  );
});

test('learned beats computed, with the cache that the configuration asks for', () => {
  const learned = need(LLAMA_8B, {}, { learned: learnedUse({ usedMib: 20_500, kvCacheMib: 4096 }) });
  // ceil(20,500 x 1.02) + 1024
  assert.deepEqual([learned.memoryMibPerDevice, learned.kvCacheBytes], [21_934, 4096 * MIB]);
});

test('a cache that a correction has enlarged stays so; one of a whole device shrinks to what is asked for', () => {
  const had = (kvCacheMib: number) =>
    need(LLAMA_8B, {}, { learned: learnedUse({ usedMib: 10_000 + kvCacheMib, kvCacheMib }) }).kvCacheBytes;
  assert.equal(had(6000), 6000 * MIB);
  assert.equal(had(9000), 4096 * MIB);
});

test('an imported figure without a cache: the computed cache is a part of it', () => {
  const learned = learnedUse({ usedMib: 20_500, kvCacheMib: null, kvCacheTokens: null, weightsMib: null });
  const { memoryMibPerDevice, kvCacheBytes } = need(LLAMA_8B, {}, { learned });
  assert.deepEqual([memoryMibPerDevice, kvCacheBytes], [21_934, 4096 * MIB]);
});

test('a learned need is never refused by a device that held it before', () => {
  const devices = [device('a', 24_576)];
  const learned = learnedUse({ usedMib: 23_300, kvCacheMib: null, kvCacheTokens: null });
  assert.equal(need(null, {}, { devices, learned }).memoryMibPerDevice, 23_347);
});

test('a correction adds what was missing, once to computed and to learned needs', () => {
  const correction = { extraMib: 300, leastKvBytes: 4196 * MIB, deviceCount: 1 };
  const computed = need(LLAMA_8B, {}, { correction });
  // 22,377.8 + 100 x 1.1 + 300
  assert.deepEqual([computed.memoryMibPerDevice, computed.kvCacheBytes], [22_788, 4196 * MIB]);
  assert.equal(computed.source, 'corrected');
  const learned = need(LLAMA_8B, {}, { correction, learned: learnedUse() });
  // ceil((20,000 - 4096 + 4196 + 300) x 1.02) + 1024
  assert.deepEqual([learned.memoryMibPerDevice, learned.kvCacheBytes], [21_832, 4196 * MIB]);
});

test('without known devices the need is that of the configured number', () => {
  assert.equal(need(LLAMA_70B, {}, { devices: [] }).deviceCount, 1);
});

const FAMILIES = ['llama-3.1-8b', 'gpt-oss-20b', 'gemma-3-27b', 'qwen3-next-80b-a3b', 'phi-4'].map((name) =>
  publishedFacts(name),
);
const facts = fc.constantFrom(...FAMILIES);
const length = fc.integer({ min: 1, max: 200_000 });
const sequences = fc.integer({ min: 1, max: 64 });
/** So large that everything fits on one. */
const ENDLESS: readonly CandidateDevice[] = [device('a', 1e9)];

function mibOf(asked: SizingQuestion): number {
  return launchNeed(asked).memoryMibPerDevice ?? Number.NaN;
}

test('property: a longer context or more sequences never need less', () => {
  fc.assert(
    fc.property(facts, length, length, sequences, sequences, (model, a, b, m, n) => {
      const needed = (maxModelLen: number, kvReservationSeqs: number) =>
        mibOf(question(model, { maxModelLen, kvReservationSeqs }, { devices: ENDLESS }));
      assert.ok(needed(Math.min(a, b), Math.min(m, n)) <= needed(Math.max(a, b), Math.max(m, n)));
    }),
    { numRuns: 100 },
  );
});

test('property: corrections never lower a need', () => {
  fc.assert(
    fc.property(facts, fc.nat(5000), fc.nat(50_000), fc.boolean(), (model, extraMib, kvMib, ran) => {
      const rest = { devices: ENDLESS, learned: ran ? learnedUse() : null };
      const correction = { extraMib, leastKvBytes: kvMib * MIB, deviceCount: 1 };
      assert.ok(mibOf(question(model, {}, rest)) <= mibOf(question(model, {}, { ...rest, correction })));
    }),
    { numRuns: 100 },
  );
});

const pool = fc.array(fc.constantFrom(12_288, 24_576, 49_152, 81_920), { minLength: 1, maxLength: 8 });

test('property: the number of devices is the smallest that fits, by trying all', () => {
  fc.assert(
    fc.property(facts, length, sequences, pool, (model, maxModelLen, kvReservationSeqs, sizes) => {
      const devices = sizes.map((totalMib, index) => device(String(index), totalMib));
      const asked = question(model, { maxModelLen, kvReservationSeqs }, { devices });
      const answer = launchNeed(asked);
      const fitting = [1, 2, 4, 8].filter((count) => {
        const wish = footprintRequest(asked.options, count, maxModelLen, kvReservationSeqs);
        const sized = footprint(model, wish);
        if (!sized.ok) return false;
        return sizes.some((size) => {
          const equal = devices.filter(({ totalMib }) => totalMib === size);
          return equal.filter(({ budgetMib }) => budgetMib >= sized.value.totalMib).length >= count;
        });
      });
      assert.equal(answer.neverFits === null, fitting.length > 0, answer.neverFits ?? 'it fits');
      if (answer.neverFits === null) assert.equal(answer.deviceCount, fitting[0]);
    }),
    { numRuns: 150 },
  );
});

test('property: a learned need covers what was seen, and some device can hold it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 500, max: 24_000 }), fc.nat(100), (usedMib, percent) => {
      const devices = [device('a', 24_576)];
      const learned = learnedUse({ usedMib, kvCacheMib: (percent / 100) * usedMib, kvCacheTokens: null });
      const answer = launchNeed(question(null, {}, { devices, learned }));
      if (answer.source !== 'learned') return assert.ok(usedMib > 23_346);
      const needMib = answer.memoryMibPerDevice ?? 0;
      assert.ok(needMib >= usedMib && needMib <= 23_347, `${needMib}`);
    }),
    { numRuns: 200 },
  );
});

test('choices of devices: the configured number, then powers of two above it', () => {
  assert.deepEqual(tensorParallelChoices(MIXED, 1), [1, 2]);
  const eight = Array.from({ length: 8 }, (_, index) => device(String(index), 24_576));
  assert.deepEqual(tensorParallelChoices(eight, 3), [3, 4, 8]);
  assert.deepEqual(tensorParallelChoices([], 4), [4]);
});
