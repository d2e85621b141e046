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

/** How engines of one gateway are found and ended, for one kind of runtime. */
export interface EngineSource {
  living(): Promise<readonly LivingEngine[]>;
  /** Asks an engine itself, past any gateway. */
  ask(engine: LivingEngine): Promise<EngineWord>;
  /** Ends all of them whatever they are doing, for the end of a storm that went wrong. */
  endAll(): Promise<void>;
}

/** What an engine says of itself when it is asked directly; `silent`: it does not answer, or that it is not ready. */
export type EngineWord = 'awake' | 'asleep' | 'silent';
