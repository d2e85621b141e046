/**
 * A process that claims and gives back at random: `ledger-claimer.ts DIRECTORY SEED CHANGES`. After every change it looks at
 * the whole ledger; the exit code says whether a device was ever over-committed (3), or its own claim was not what it was told (4).
 */
import { createPrng } from '../../src/core/prng.ts';
import { openLedger } from '../../src/engines/simulated/ledger.ts';

const [directory = '', seed = '0', changes = '0'] = process.argv.slice(2);
const random = createPrng(Number(seed));
const ledger = openLedger(directory);
const held = new Map<string, number>();

for (let change = 0; change < Number(changes); change++) {
  const requests = ledger.devices
    .filter(() => random.integer(2) === 0)
    .map((device) => ({ deviceId: device.id, usedMib: random.integer(3) === 0 ? 0 : random.integer(700) }));
  const result = ledger.claim(process.pid, 'claimer', requests);
  if (result.kind === 'claimed') for (const { deviceId, usedMib } of requests) held.set(deviceId, usedMib);
  for (const use of ledger.read()) {
    if (use.usedMib > use.device.totalMib) process.exit(3);
    const own = use.claims.find((claim) => claim.pid === process.pid)?.usedMib ?? 0;
    if (own !== (held.get(use.device.id) ?? 0)) process.exit(4);
  }
}
