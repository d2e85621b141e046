/**
 * Which engines of a gateway live, found without a line of the gateway's own code: by what their processes carry. A storm
 * compares this with what the gateway's store says.
 */

/** One launch of which something lives. */
export interface LivingEngine {
  readonly launchId: string;
  /** By the name that it was told to serve; null where only its helpers are left. */
  readonly model: string | null;
  /** Tells it from every other start, such as `pid:start time` or a container's id; null where only its helpers are left. */
  readonly identity: string | null;
  readonly pids: readonly number[];
  /** Where it can be asked; null where it listens elsewhere. */
  readonly socketPath: string | null;
}

/** What stands of a launch in which nothing lives: a container that has ended, or has not begun yet. */
export interface Remnant {
  /** Null for what was no engine: a helper of the gateway's own. */
  readonly launchId: string | null;
  readonly what: string;
}

/** All that is there of one gateway's launches. */
export interface Seen {
  readonly engines: readonly LivingEngine[];
  readonly remnants: readonly Remnant[];
}

/** How engines of one gateway are found and ended, for one kind of runtime. */
export interface EngineSource {
  look(): Promise<Seen>;
  /** Asks an engine itself, past any gateway. */
  ask(engine: LivingEngine): Promise<EngineWord>;
  /** Ends all of them whatever they are doing, for the end of a storm that went wrong. */
  endAll(): Promise<void>;
}

/** What an engine says of itself when it is asked directly; `silent`: it does not answer, or that it is not ready. */
export type EngineWord = 'awake' | 'asleep' | 'silent';
