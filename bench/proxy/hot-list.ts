/** Sums a CPU profile of V8 by function. */

export interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface HotFunction {
  readonly name: string;
  /** Time in the function itself. */
  selfUs: number;
  /** Time in it and in what it called. */
  totalUs: number;
}

/** Time in which the thread had nothing to do. */
const IDLE = new Set(['(idle)', '(program) idle']);

/** Functions with their times, unsorted. Samples that lie outside `fromUs` to `toUs` of the profile are left out. */
export function hotList(profile: Profile): HotFunction[] {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const { id, children } of profile.nodes) for (const child of children ?? []) parents.set(child, id);
  const functions = new Map<string, HotFunction>();
  profile.samples.forEach((sample, index) => {
    const us = profile.timeDeltas[index] ?? 0;
    const seen = new Set<string>();
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) {
      const node = byId.get(id);
      if (node === undefined) break;
      const name = nameOf(node.callFrame);
      if (IDLE.has(name)) return;
      let hot = functions.get(name);
      if (hot === undefined) {
        hot = { name, selfUs: 0, totalUs: 0 };
        functions.set(name, hot);
      }
      if (id === sample) hot.selfUs += us;
      // A function that calls itself is counted once.
      if (!seen.has(name)) hot.totalUs += us;
      seen.add(name);
    }
  });
  return [...functions.values()];
}

function nameOf({ functionName, url, lineNumber }: Profile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url.replace(/^.*\/(?=(src|node_modules|bench)\/)/, '');
  return `${name} ${file}:${lineNumber + 1}`;
}
