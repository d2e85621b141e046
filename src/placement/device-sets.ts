/** Which sets of devices are looked at for an engine that needs several: all of them where they are few. */

/** 4 of 8 devices are 70 sets, 4 of 9 are 126. */
export const DEVICE_SETS_MAX = 128;

/**
 * Sets of `count` of `devices`, each in the order of `devices`. All of them up to `DEVICE_SETS_MAX`. Beyond that a
 * choice without a stated ratio: the devices with the least `costOf` (what room costs on a device alone), and for each
 * of `clusters` (devices that one engine spans, so that taking them together pays it once) its devices first and the
 * cheapest others after them. For one device the choice is exact: its own cost is the cost of its set.
 */
export function deviceSets<D>(
  devices: readonly D[],
  count: number,
  costOf: (device: D) => number,
  clusters: readonly (readonly D[])[],
): readonly (readonly D[])[] {
  if (combinationCount(devices.length, count) <= DEVICE_SETS_MAX) return combinations(devices, count);
  const byCost = devices
    .map((device, index) => ({ device, index, cost: costOf(device) }))
    .sort((a, b) => (a.cost === b.cost ? a.index - b.index : a.cost < b.cost ? -1 : 1));
  return [[], ...clusters].slice(0, DEVICE_SETS_MAX).map((cluster) => {
    const inside = byCost.filter(({ device }) => cluster.includes(device));
    const outside = byCost.filter(({ device }) => !cluster.includes(device));
    return [...inside, ...outside]
      .slice(0, count)
      .sort((a, b) => a.index - b.index)
      .map(({ device }) => device);
  });
}

/** "n over k"; counted no further than needed to know that it is above `DEVICE_SETS_MAX`. */
function combinationCount(n: number, k: number): number {
  const least = Math.min(k, n - k);
  if (least < 0) return 0;
  let result = 1;
  for (let step = 1; step <= least; step += 1) {
    result = (result * (n - least + step)) / step;
    if (result > DEVICE_SETS_MAX) return result;
  }
  return result;
}

/** In lexicographic order. */
function combinations<D>(devices: readonly D[], count: number): D[][] {
  if (count === 0) return [[]];
  return devices
    .slice(0, devices.length - count + 1)
    .flatMap((first, index) =>
      combinations(devices.slice(index + 1), count - 1).map((rest) => [first, ...rest]),
    );
}
