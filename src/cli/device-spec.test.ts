import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatFault } from '../config/fault.ts';
import { parseDeviceSpec } from './device-spec.ts';

function parsed(text: string) {
  const spec = parseDeviceSpec(text);
  assert.ok(spec.ok, spec.ok ? '' : formatFault(spec.error));
  return spec.value;
}

test('groups, ids, pools and the host in one list', () => {
  assert.deepEqual(
    parsed('2x24GiB, pool=small:1x12GiB,gpu-b:12288,pool=big:gpu-a:1.5TiB,49152,host=256GiB'),
    {
      devices: [
        { id: 'gpu-0', totalMib: 24_576, pool: null },
        { id: 'gpu-1', totalMib: 24_576, pool: null },
        { id: 'gpu-2', totalMib: 12_288, pool: 'small' },
        { id: 'gpu-b', totalMib: 12_288, pool: null },
        { id: 'gpu-a', totalMib: 1_572_864, pool: 'big' },
        { id: 'gpu-5', totalMib: 49_152, pool: null },
      ],
      hostMib: 262_144,
    },
  );
  assert.deepEqual(parsed('8x81920').devices.length, 8);
});

const FAULTS: readonly (readonly [text: string, fault: RegExp])[] = [
  ['', /^command line --devices: character 1: neither .*; found ""; allowed: `2x24GiB`/],
  ['2x24GiB,3xfoo', /character 9: neither a number of devices .*; found "3xfoo"/],
  ['2y24GiB', /character 1: neither/],
  ['0x24GiB', /character 1: no device;/],
  ['99999x1GiB', /character 1: too many devices/],
  ['100x1GiB,100x1GiB', /character 10: too many devices; .*at most 128/],
  [':24GiB', /character 1: neither/],
  ['a:24GiB,a:12GiB', /character 9: the device a stands here twice/],
  ['gpu-1:24GiB,24GiB', /character 13: the device gpu-1 stands here twice/],
  ['pool=:2x24GiB', /character 1: no name of a pool/],
  ['pool=big', /character 1: no name of a pool/],
  ['24GB', /character 1: neither/],
  ['24GiB,host=much', /character 7: no amount of memory; found "host=much"/],
  ['24GiB,host=1GiB,host=2GiB', /character 17: the host stands here twice/],
  [
    '2x24',
    /character 1: 24 MiB\? Was 24GiB meant\? A number alone is MiB; found "2x24"; allowed: at least 256MiB$/,
  ],
  ['24GiB,a:128MiB', /character 7: 128 MiB\?/],
  ['24GiB,host=64', /character 7: 64 MiB\? Was 64GiB meant/],
  ['host=8GiB', /character 1: no device;/],
];

test('a fault says where it stands, what was found and what is allowed', () => {
  for (const [text, expected] of FAULTS) {
    const spec = parseDeviceSpec(text);
    assert.ok(!spec.ok, text);
    assert.match(formatFault(spec.error), expected);
  }
});
