/** What a picture of a run shows, as plain data: the console draws the same from the same. */

/** `moving`: it starts, wakes, falls asleep or stops. */
export type HoldState = 'awake' | 'moving' | 'asleep';

export interface Hold {
  readonly model: string;
  readonly state: HoldState;
  /** On average over its slice. */
  readonly mib: number;
}

/** A time in which a device held the same; of a busy device, a short time on average. */
export interface Slice {
  readonly fromMs: number;
  readonly toMs: number;
  /** From the bottom up. */
  readonly holds: readonly Hold[];
}

export interface DeviceLane {
  readonly device: string;
  readonly memoryMib: number;
  /** What models may reserve of it. */
  readonly budgetMib: number;
  /** In order of time, without gaps but for times in which it held nothing. */
  readonly slices: readonly Slice[];
}

export interface ModelQueue {
  readonly model: string;
  /** Mean number of waiting requests in each column. */
  readonly lengths: readonly number[];
}

export interface SimulationPicture {
  readonly title: string;
  readonly subtitles: readonly string[];
  readonly endMs: number;
  /** Of all models, sorted by name: the colour of a model goes by its place here, so that pictures can be compared. */
  readonly models: readonly string[];
  readonly lanes: readonly DeviceLane[];
  /** Columns of this width, from time 0 on. */
  readonly queueColumnMs: number;
  readonly queues: readonly ModelQueue[];
}
