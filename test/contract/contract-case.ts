/**
 * The contract between the gateway and an engine as a list of cases. Each runs against the simulated engine and against a
 * real vLLM, records what it saw, and must see the same at both, save for differences that it names with a reason.
 */

import type { EngineServer, StartOutcome } from './engine-server.ts';
import type { ExchangeAnswer, ExchangeRequest } from './http-exchange.ts';

export type SideName = 'simulated' | 'real';

/**
 * The server that a case talks to. Cases of one server share it, in the order of the list; a case that ends it is the
 * last of them.
 * - `chat`: a chat model with the development routes, two served names, a short keep-alive.
 * - `guarded`: an embedding model with API keys on a Unix socket, no development routes.
 * - `plain`: a second chat server with `--enable-request-id-headers`, started from its model alone.
 * - `none`: the case starts (and fails to start) its own.
 */
export type ServerName = 'chat' | 'guarded' | 'plain' | 'none';

/** What a case does with its server. Everything that it records is compared. */
export interface CaseContext {
  readonly side: SideName;
  /** Long enough to tell a request that hangs from one that is served. */
  readonly hangPatienceMs: number;
  /** Only for cases with a server. */
  readonly server: EngineServer;
  /** Name of the served model. */
  readonly model: string;
  /** One exchange; its shape is compared under `label`. */
  ask(label: string, request: ExchangeRequest): Promise<ExchangeAnswer>;
  /** The same without a record: for set-up and for polling. */
  askQuietly(request: ExchangeRequest): Promise<ExchangeAnswer>;
  /** A plain fact, compared as it stands. `detail` only goes into the report. */
  note(label: string, fact: string | readonly string[], detail?: string): void;
  /** Starts a server that is expected to end by itself; `none` cases only. */
  startAlone(options: LoneStart): Promise<StartOutcome>;
}

export interface LoneStart {
  readonly flags: readonly string[];
  /** Beside the side's own; null takes a variable away. */
  readonly environment?: Readonly<Record<string, string | null>>;
  /** Only for the simulated engine, where it must be told of a fault that the real one has by itself. */
  readonly simulatedFlags?: readonly string[];
  /** The model argument instead of the side's small one. */
  readonly model?: string;
  /** A process that lives longer is no failure: its outcome says `signal: still running`. */
  readonly patienceMs?: number;
  /** Called when the process has written this text. */
  readonly whenOutput?: { readonly text: string; readonly call: (server: EngineServer) => void };
}

/** One line of a shape, by `LABEL: the line's front`, that may differ between the two sides. */
export interface AllowedDifference {
  readonly line: RegExp;
  readonly reason: string;
  /** The real engine is not the same every time: that it does not differ is no fault. */
  readonly isRace?: true;
}

export interface ContractCase {
  readonly name: string;
  readonly server: ServerName;
  run(context: CaseContext): Promise<void>;
  /** Lines that may differ. One that never differs fails the suite: it is out of date. */
  readonly differences?: readonly AllowedDifference[];
  /** Set where only one of the two can pass at all; it then runs there alone. */
  readonly only?: { readonly side: SideName; readonly reason: string };
}

/** What one case saw: comparable lines, each beginning with its label, and the bytes behind them. */
export interface CaseRecord {
  readonly lines: readonly string[];
  readonly bytes: readonly { readonly label: string; readonly text: string }[];
}
