/** What all exchanges of one front share. */
import type { StaticKeys } from '../access/static-keys.ts';
import type { ServerConfig } from '../config/resolved-config.ts';
import type { FrontGate } from '../control/gate.ts';
import type { Clock } from '../core/clock.ts';
import type { DenseList, Listed } from '../core/dense-list.ts';
import type { Refusal } from '../core/errors.ts';
import type { ModelName } from '../core/ids.ts';
import type { AnswerSettings } from '../proxy/answer.ts';
import type { BodyMemory } from './body-memory.ts';
import type { BodySpool } from './body-spool.ts';
import type { ClientConnections } from './client-connection.ts';
import type { CorsPolicy } from './cors.ts';
import type { Dialect } from './error-body.ts';
import type { NameResolver } from './names.ts';
import type { FrontData } from './own-routes.ts';
import type { ProgressSettings } from './progress-answer.ts';
import type { RequestObserver } from './request-observer.ts';
import type { ResponseDesk } from './response-desk.ts';
import type { Upload } from './upload-rate.ts';
import type { WaitEstimates } from './wait-estimates.ts';

export interface FrontOptions {
  readonly server: Pick<
    ServerConfig,
    | 'bodyLimitBytes'
    | 'audioBodyLimitBytes'
    | 'bodyMemoryBytes'
    | 'bodySpoolBytes'
    | 'headerLimitBytes'
    | 'headersTimeoutMs'
    | 'requestTimeoutMs'
    | 'keepAliveTimeoutMs'
    | 'clientStallTimeoutMs'
    | 'corsOrigins'
    | 'uploadBytesPerSMin'
    | 'trustedHops'
    | 'queueTimeoutMaxMs'
  >;
  readonly gate: FrontGate;
  /** Where large bodies lie while they wait; its files have no names. */
  readonly spoolDirectory: string;
  readonly names: NameResolver;
  readonly responses: ResponseDesk;
  /** Null: everybody may ask. */
  readonly keys: StaticKeys | null;
  readonly data: FrontData;
  readonly observer: RequestObserver;
  readonly clock: Clock;
  /** `ws_idle_timeout` of a model, in milliseconds. */
  wsIdleTimeoutMs(model: ModelName): number;
  /** Called with a sentence for the operator when something of the addresses changes. */
  readonly notice?: (level: 'info' | 'warn', text: string) => void;
  /** How often the files of a certificate are looked at; shorter in tests. */
  readonly tlsLookMs?: number;
  /** What streams of a configured model are told while they wait. */
  readonly progressOf: (model: ModelName) => ProgressSettings;
}

/** A request between its head and its end, as the server sees it. */
export interface ActiveRequest extends Listed, Upload {
  /** How its client expects errors. */
  readonly dialect: Dialect;
  readonly clientRequestId: string;
  /** What its answer says to web pages; empty where nothing is said. */
  readonly corsHeaders: readonly string[];
  /** Its body is not complete yet. */
  readonly isReading: boolean;
  /** A client that sends no more has left it; WebSockets have an end of their own. */
  readonly endsWithClient: boolean;
  /** Its connection broke while the body was read, and `refusal` is written beside its response. */
  answeredRaw(refusal: Refusal, bytes: number): void;
  /** Its body comes too slowly; only while it is read. */
  uploadTooSlow(refusal: Refusal): void;
  /** Ends it and its connection whatever it is doing. */
  breakOff(): void;
}

/** A request that may never end by itself. */
export interface DrainedRequest {
  /** Ends it as soon as nothing passes; it may begin nothing new. */
  drain(): void;
}

export interface FrontContext extends FrontOptions {
  readonly answers: AnswerSettings;
  readonly connections: ClientConnections;
  readonly bodies: BodyMemory;
  /** Null: no page of another origin may use the gateway. */
  readonly cors: CorsPolicy | null;
  readonly estimates: WaitEstimates;
  readonly spool: BodySpool;
  /** Requests between their head and their end. */
  readonly active: DenseList<ActiveRequest>;
  /** Those among them that are WebSockets. */
  readonly webSockets: Set<DrainedRequest>;
  /** True from the moment on from which connections end with their answer. */
  draining: boolean;
  /** The address is one that only programs of this machine reach. */
  onLoopback: boolean;
  nextRequestId(): string;
}
