/**
 * Runs nvidia-smi in a container, for a gateway whose own container has none. The NVIDIA toolkit brings the tool into any image.
 *
 *  U1. Nothing is left: a container is removed when its run is over; what could not be removed, and what a gateway that died
 *      has left, by the next run.
 *  U2. An image that is missing is brought in the background; until it is there a run fails and says so.
 *  U3. A host without the toolkit has no such tool, which is another answer than a tool that fails.
 *  U4. Containers are made one after the other: a daemon that hangs has one to make when it goes on, not one for each run.
 */
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { DockerConnection } from './connection.ts';
import { withSignal } from './connection.ts';
import { faultOf } from './docker-fault.ts';
import { createLogFrames } from './log-frames.ts';

/** In no list of engines: those have a launch id. */
const UTILITY_LABEL = 'vllm-gateway.utility';
/** Nothing that we ask of the tool is larger. */
const OUTPUT_CHARS_MAX = 1024 * 1024;
const LINE_CHARS_MAX = 4096;
const CLEAN_LIMIT_MS = 10_000;
/** A daemon that makes no container in this time hangs. */
const CREATE_LIMIT_MS = 30_000;
const NAME_PREFIX = 'vllm-gateway-utility-';

/** As the devices take tools: see `RunTool` and `StreamTool` there. */
export type UtilityResult =
  | { readonly kind: 'exited'; readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'missing'; readonly detail: string }
  | { readonly kind: 'hung'; readonly timeLimitMs: number };

export interface UtilityHandlers {
  line(text: string): void;
  /** Once, unless the stream was called off before. */
  ended(detail: string): void;
}

export interface UtilityTool {
  /** Never rejects. */
  run(argv: readonly string[], timeLimitMs: number, signal?: AbortSignal): Promise<UtilityResult>;
  /** Returns the function that calls it off. Never throws. */
  stream(argv: readonly string[], handlers: UtilityHandlers): () => void;
}

export interface UtilityToolOptions {
  readonly connection: DockerConnection;
  readonly image: string;
  readonly stateId: string;
  /** Brings the image; resolves with a sentence where that failed, else with null. */
  readonly prepare: (image: string) => Promise<string | null>;
}

export function createUtilityTool(options: UtilityToolOptions): UtilityTool {
  return new ContainerTool(options);
}

class ContainerTool implements UtilityTool {
  readonly #options: UtilityToolOptions;
  /** Names of containers whose run is not over. */
  readonly #live = new Set<string>();
  /** Some container of a run that is over may be left. */
  #isDirty = true;
  /** Ends when Docker has answered the last creation. */
  #turn: Promise<unknown> = Promise.resolve();
  #pull: Promise<void> | null = null;
  #pullFailure: string | null = null;

  constructor(options: UtilityToolOptions) {
    this.#options = options;
  }

  async run(
    argv: readonly string[],
    timeLimitMs: number,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<UtilityResult> {
    const output = { stdout: '', stderr: '' };
    const calledOff = AbortSignal.any([AbortSignal.timeout(timeLimitMs), signal]);
    const work = this.#contained(argv, calledOff, (stream, text) => {
      if (output[stream].length < OUTPUT_CHARS_MAX) output[stream] += text;
    });
    const hung = new Promise<'hung'>((resolve) => {
      if (calledOff.aborted) resolve('hung');
      calledOff.addEventListener('abort', () => resolve('hung'), { once: true });
    });
    try {
      const ended = await Promise.race([work, hung]);
      return ended === 'hung' ? { kind: 'hung', timeLimitMs } : { kind: 'exited', code: ended, ...output };
    } catch (error) {
      return this.#failureOf(error);
    } finally {
      // Its end, when it was called off, is nobody's any more.
      work.catch(() => undefined);
    }
  }

  stream(argv: readonly string[], handlers: UtilityHandlers): () => void {
    const callOff = new AbortController();
    const end = (detail: string): void => {
      if (!callOff.signal.aborted) handlers.ended(detail);
    };
    let partial = '';
    const work = this.#contained(argv, callOff.signal, (stream, text) => {
      if (stream === 'stderr') return;
      const lines = (partial + text).split('\n');
      partial = (lines.pop() ?? '').slice(0, LINE_CHARS_MAX);
      for (const line of lines) if (!callOff.signal.aborted) handlers.line(line.slice(0, LINE_CHARS_MAX));
    });
    work.then(
      (code) => end(`it ended with code ${code}`),
      (error: unknown) => end(`it cannot be run: ${faultOf(error).text}`),
    );
    return () => callOff.abort();
  }

  /** Resolves with the exit code. Rejects as dockerode does, and when it was called off. */
  async #contained(
    argv: readonly string[],
    calledOff: AbortSignal,
    onText: (stream: 'stdout' | 'stderr', text: string) => void,
  ): Promise<number> {
    const name = `${NAME_PREFIX}${randomBytes(6).toString('hex')}`;
    this.#live.add(name);
    const turn = this.#turn.then(() => this.#create(name, argv, calledOff));
    this.#turn = turn.catch(() => undefined);
    let output: Readable | null = null;
    try {
      const container = await turn;
      output = (await container.attach(
        withSignal({ stream: true, stdout: true, stderr: true }, calledOff),
      )) as unknown as Readable;
      const drained = drain(output, onText);
      drained.catch(() => undefined);
      await container.start({ abortSignal: calledOff });
      const { StatusCode } = (await container.wait({ abortSignal: calledOff })) as {
        readonly StatusCode: number;
      };
      await drained;
      return StatusCode;
    } finally {
      this.#live.delete(name);
      // Docker keeps the connection to a container that never started, and that would keep our process.
      output?.destroy();
      void this.#remove(name);
    }
  }

  /** U4. Only in its turn. Being called off does not end the call: what Docker makes all the same is then known. */
  async #create(name: string, argv: readonly string[], calledOff: AbortSignal): Promise<Docker.Container> {
    calledOff.throwIfAborted();
    if (this.#isDirty) await this.#clean();
    calledOff.throwIfAborted();
    const { docker, call } = this.#options.connection;
    try {
      const container = await call(
        (abortSignal) => docker.createContainer({ ...this.#spec(argv), name, abortSignal }),
        CREATE_LIMIT_MS,
      );
      calledOff.throwIfAborted();
      return container;
    } catch (error) {
      // No answer: it may be made yet.
      if (faultOf(error).status === null) this.#isDirty = true;
      throw error;
    }
  }

  async #remove(name: string): Promise<void> {
    const { docker, call } = this.#options.connection;
    try {
      await call(
        (abortSignal) => docker.getContainer(name).remove({ force: true, v: true, abortSignal }),
        CLEAN_LIMIT_MS,
      );
    } catch (error) {
      if (faultOf(error).status !== 404) this.#isDirty = true;
    }
  }

  #spec(argv: readonly string[]): Docker.ContainerCreateOptions {
    const [program = 'nvidia-smi', ...words] = argv;
    return {
      Image: this.#options.image,
      Entrypoint: [program],
      Cmd: words,
      Labels: { [UTILITY_LABEL]: this.#options.stateId },
      HostConfig: {
        DeviceRequests: [{ Driver: '', Count: -1, Capabilities: [['gpu', 'utility']] }],
        // Processes are told by the numbers of the host, as the runtime knows them.
        PidMode: 'host',
        NetworkMode: 'none',
        RestartPolicy: { Name: 'no' },
        LogConfig: { Type: 'none', Config: {} },
        SecurityOpt: ['no-new-privileges'],
      },
    };
  }

  /** U1. Rejects as dockerode does. */
  async #clean(): Promise<void> {
    const { connection, stateId } = this.#options;
    const { docker, call } = connection;
    const filters = { label: [`${UTILITY_LABEL}=${stateId}`] };
    const found = await call(
      (abortSignal) => docker.listContainers({ all: true, filters, abortSignal }),
      CLEAN_LIMIT_MS,
    );
    this.#isDirty = false;
    const left = found.filter(({ Names }) => !Names.some((name) => this.#live.has(name.replace(/^\//, ''))));
    await Promise.all(left.map(({ Id }) => this.#remove(Id)));
  }

  /** U2, U3. */
  #failureOf(error: unknown): UtilityResult {
    const { image } = this.#options;
    const { status, text } = faultOf(error);
    const failed = (stderr: string): UtilityResult => ({ kind: 'exited', code: 1, stdout: '', stderr });
    if (status === 404 && /no such image/i.test(text)) {
      const before = this.#pullFailure;
      this.#fetchImage();
      return failed(
        before ?? `the image ${image}, in which nvidia-smi is run, is not there yet: it is being pulled`,
      );
    }
    if (NO_TOOL.test(text)) return { kind: 'missing', detail: text };
    return failed(text);
  }

  #fetchImage(): void {
    const { image, prepare } = this.#options;
    this.#pull ??= prepare(image)
      .catch((error: unknown) => String(error))
      .then((failure) => {
        this.#pullFailure = failure;
        this.#pull = null;
      });
  }
}

const NO_TOOL =
  /could not select device driver|unresolvable CDI|executable file not found|libnvidia-ml\.so|unknown or invalid runtime/i;

function drain(output: Readable, onText: (stream: 'stdout' | 'stderr', text: string) => void): Promise<void> {
  const frames = createLogFrames(({ stream, bytes }) => onText(stream, bytes.toString('utf8')));
  return new Promise((resolve, reject) => {
    output.on('data', (chunk: Buffer) => {
      try {
        frames.push(chunk);
      } catch (error) {
        output.destroy();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    output.once('end', resolve);
    output.once('close', resolve);
    output.once('error', reject);
  });
}
