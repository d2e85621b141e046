/** What a model takes on this machine, as far as it is known: configured, computed or measured. Plain data. */
export interface ModelNeed {
  readonly deviceCount: number;
  /** Reserved on each device; null: it has its devices to itself, but for what sleepers leave there. */
  readonly memoryMibPerDevice: number | null;
  /** Of a model that has its devices to itself: it never gets less of each; 0: not known. */
  readonly leastMibPerDevice: number;
  /** Of a model that has its devices to itself: the share of each that its engine takes at the most. */
  readonly wholeShare: number;
  /** What its processes hold on each device beside that share. */
  readonly contextMib: number;
  /** 0: it is stopped to make room; 1 or 2: it may sleep at this level instead. */
  readonly sleepLevel: 0 | 1 | 2;
  /** What stays on each of its devices while it sleeps. */
  readonly residueMib: number;
  /** Host memory of its processes, awake and asleep. */
  readonly hostAwakeMib: number;
  readonly hostAsleepMib: number;
  /** Why no device can ever hold it, with the nearest change that would; null: some can. */
  readonly neverFits: string | null;
}
