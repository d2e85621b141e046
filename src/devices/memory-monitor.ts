/**
 * Reads the devices' memory at the right times and tells whose it is: often while a launch of ours moves, else from time
 * to time, and whenever somebody asks.
 *
 *  M1. A caller gets a new reading, never a kept one; callers at the same time share one.
 *  M2. The book is told of figures that began after the moves that they close (launch-book.ts).
 *  M3. Nothing is read, told or left running after `close`.
 *  M4. Whose memory it is comes from the same moment as how much it is: both are asked at once. A stream tells only how
 *      much, so its rounds are told by themselves only where nothing moves: until the reading that closes a move the list
 *      of processes is that of before.
 */
import type { CancelTimer, Clock } from '../core/clock.ts';
import type { DeviceId, LaunchId } from '../core/ids.ts';
import { type Attribution, attribute, type Quiet } from './attribution.ts';
import type { DeviceCondition, LaunchPhase, MemoryReading } from './device.ts';
import { LaunchBook } from './launch-book.ts';
import type { ProcessReport, RawDevice, RawReading, RawSource, RawUses } from './raw-device.ts';

/** While nothing moves. */
const QUIET_PERIOD_MS = 10_000;
/** While memory moves: processes always, the devices too where nothing streams. */
const MOVING_PERIOD_MS = 1_000;
/** After a reading that failed: each call of a tool that hangs in the driver leaves a process that cannot be killed. */
const FAILED_PERIOD_MS = 30_000;
/** Memory is still looked at often this long after the last move: a driver frees late. */
const LINGER_MS = 5_000;
/** A stream that flows tells within this; else the tool is asked. */
const STREAM_WAIT_MS = 2_000;

export interface MonitorPorts {
  readonly source: RawSource;
  readonly clock: Clock;
  /** The launch of ours that a process belongs to. */
  readonly ownerOf: (pid: number) => LaunchId | null;
  readonly told: (readings: readonly MemoryReading[]) => void;
  /** Named troubles of reading, whenever they are not what they were. */
  readonly conditions: (conditions: readonly DeviceCondition[]) => void;
  /** Other devices answered than the last inventory had. */
  readonly changed: () => void;
}

/** `asked`: somebody waits for it. `by itself`: nobody does, so a stream that flows is enough. */
type Occasion = 'asked' | 'by itself';

type Topic = 'reading' | 'stream' | 'processes' | 'mapping';

export class MemoryMonitor {
  readonly #ports: MonitorPorts;
  readonly #book = new LaunchBook();
  readonly #quiet = new Map<DeviceId, Quiet | null>();
  readonly #conditions = new Map<Topic, readonly DeviceCondition[]>();
  readonly #waiters = new Set<(uses: RawUses | null) => void>();
  #devices: readonly RawDevice[] = [];
  #seen: ReadonlySet<DeviceId> = new Set();
  #uses: RawUses = new Map();
  #processes: ProcessReport['byDevice'] = null;
  /** Readings begun, and the latest whose processes count: of two at the same time the later one stands. */
  #begun = 0;
  #counted = 0;
  readonly #calls = new Set<AbortController>();
  readonly #owners = new Map<number, LaunchId | null>();
  #closeStream: (() => void) | null = null;
  #flowing = false;
  #lastMoveMs = Number.NEGATIVE_INFINITY;
  #cancelTick: CancelTimer = () => {};
  #ticking: 'no' | 'yes' | 'again' = 'no';
  #measuring: Promise<readonly MemoryReading[]> | null = null;
  #following = false;
  #closed = false;

  constructor(ports: MonitorPorts) {
    this.#ports = ports;
  }

  /** A new inventory with what its reading said of memory. */
  setDevices(devices: readonly RawDevice[], uses: RawUses): void {
    const same = devices.length === this.#devices.length;
    this.#devices = devices;
    this.#seen = new Set(uses.keys());
    this.#uses = uses;
    if (!same) this.#endStream();
  }

  follow(): void {
    this.#following = true;
    this.#tickNow();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTick();
    this.#endStream();
    for (const call of this.#calls) call.abort();
  }

  launchMoved(launchId: LaunchId, phase: LaunchPhase, deviceIds: readonly DeviceId[]): void {
    for (const id of deviceIds) {
      const launches = this.#book.on(id);
      const isKnown = launches.some((launch) => launch.launchId === launchId);
      // What an adopted engine holds was taken for foreign until now.
      if (phase === 'settled' && !isKnown) this.#quiet.delete(id);
      // The first move on a device: until now everything on it was quiet.
      if (phase === 'moving' && !this.#quiet.get(id)) this.#attribute(id, this.#uses.get(id) ?? null);
    }
    this.#book.moved(launchId, phase, deviceIds, this.#uses);
    if (this.#following) this.#tickNow();
  }

  /** M1. Never rejects. */
  measure(): Promise<readonly MemoryReading[]> {
    this.#measuring ??= this.#readAll('asked').finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  #tickNow(): void {
    if (this.#ticking !== 'no') this.#ticking = 'again';
    else void this.#tick();
  }

  async #tick(): Promise<void> {
    if (this.#closed) return;
    this.#cancelTick();
    this.#ticking = 'yes';
    const { clock } = this.#ports;
    if (this.#book.moving) this.#lastMoveMs = clock.nowMs();
    const often = clock.nowMs() - this.#lastMoveMs <= LINGER_MS;
    if (often) this.#beginStream();
    else this.#endStream();
    await this.#readAll('by itself');
    if (this.#closed) return;
    const again = this.#wasAskedAgain();
    this.#ticking = 'no';
    const quietMs = this.#failing ? FAILED_PERIOD_MS : QUIET_PERIOD_MS;
    const pauseMs = again ? 0 : often || this.#book.moving ? MOVING_PERIOD_MS : quietMs;
    this.#cancelTick = clock.setTimer(clock.nowMs() + pauseMs, () => void this.#tick());
  }

  /** The latest reading failed as a whole. */
  get #failing(): boolean {
    return (this.#conditions.get('reading') ?? []).length > 0;
  }

  #wasAskedAgain(): boolean {
    return this.#ticking === 'again';
  }

  /** M2, M4. */
  async #readAll(occasion: Occasion): Promise<readonly MemoryReading[]> {
    const { position } = this.#book;
    this.#begun += 1;
    const number = this.#begun;
    // Without a launch of ours all is foreign; that is looked at from time to time, for processes alone.
    const isEnough = occasion === 'asked' && this.#book.isEmpty;
    const [report, uses] = await Promise.all([
      isEnough || this.#failing ? null : this.#callProcesses(),
      occasion === 'asked' ? this.#quickUses() : this.#cheapUses(),
    ]);
    if (!this.#closed && !isEnough && number > this.#counted) {
      this.#counted = number;
      this.#processes = report?.byDevice ?? null;
      this.#owners.clear();
      if (report !== null) this.#setConditions('processes', report.conditions);
    }
    if (!this.#closed) this.#book.book(uses, position);
    return this.#publish(uses);
  }

  /** M1. Of a stream that flows and a call of the tool whichever answers first; the other is called off. */
  async #quickUses(): Promise<RawUses> {
    if (!this.#flowing) return this.#take(await this.#callMemory());
    const next = this.#nextOfStream();
    const call = new AbortController();
    const called = this.#callMemory(call);
    const first = await Promise.any([
      next.uses.then((uses) => ({ streamed: uses ?? raise('the stream is silent') })),
      called.then((reading) => (reading.failure === null ? { reading } : raise(reading.failure.text))),
    ]).catch(() => null);
    next.end();
    call.abort();
    if (first !== null && 'streamed' in first) return first.streamed;
    return this.#take(await called);
  }

  /** M1. Of a stream that flows the next round. */
  async #cheapUses(): Promise<RawUses> {
    const streamed = this.#flowing ? await this.#nextOfStream().uses : null;
    return streamed ?? this.#take(await this.#callMemory());
  }

  #take(reading: RawReading): RawUses {
    if (this.#closed) return this.#uses;
    this.#setConditions('reading', reading.failure === null ? [] : [reading.failure]);
    this.#uses = reading.uses;
    if (reading.failure === null) this.#lookForChange(reading.uses);
    return reading.uses;
  }

  #callMemory(call = new AbortController()): Promise<RawReading> {
    return this.#called(call, this.#ports.source.memory(this.#devices, call.signal).catch(failedReading));
  }

  #callProcesses(): Promise<ProcessReport> {
    const call = new AbortController();
    return this.#called(call, this.#ports.source.processes(this.#devices, call.signal).catch(noProcesses));
  }

  /** M3. */
  #called<T>(call: AbortController, answer: Promise<T>): Promise<T> {
    this.#calls.add(call);
    return answer.finally(() => this.#calls.delete(call));
  }

  /** Null when it is silent, troubled or ended, by us or by `end`. */
  #nextOfStream(): { readonly uses: Promise<RawUses | null>; readonly end: () => void } {
    const { clock } = this.#ports;
    const { promise, resolve } = Promise.withResolvers<RawUses | null>();
    const wake = (uses: RawUses | null): void => {
      cancel();
      this.#waiters.delete(wake);
      resolve(uses);
    };
    const cancel = clock.setTimer(clock.nowMs() + STREAM_WAIT_MS, () => wake(null));
    this.#waiters.add(wake);
    return { uses: promise, end: () => wake(null) };
  }

  #beginStream(): void {
    if (this.#closeStream !== null) return;
    this.#closeStream = this.#ports.source.stream(this.#devices, {
      uses: (uses) => {
        this.#flowing = true;
        this.#uses = uses;
        this.#setConditions('reading', []);
        for (const wake of this.#waiters) wake(uses);
        this.#lookForChange(uses);
        // M4. Readings come every second meanwhile, and tell of both.
        if (!this.#book.moving) this.#publish(uses);
      },
      trouble: (condition) => {
        this.#flowing = this.#flowing && condition === null;
        this.#setConditions('stream', condition === null ? [] : [condition]);
        if (condition !== null) for (const wake of this.#waiters) wake(null);
      },
    });
  }

  #endStream(): void {
    this.#closeStream?.();
    this.#closeStream = null;
    this.#flowing = false;
    for (const wake of this.#waiters) wake(null);
    this.#setConditions('stream', []);
  }

  #lookForChange(uses: RawUses): void {
    const isSame = uses.size === this.#seen.size && [...uses.keys()].every((id) => this.#seen.has(id));
    if (!isSame) this.#ports.changed();
  }

  #publish(uses: RawUses): readonly MemoryReading[] {
    const unmapped: DeviceId[] = [];
    const readings = this.#devices.map(({ id }): MemoryReading => {
      const usedMib = uses.get(id) ?? null;
      const found = this.#attribute(id, usedMib);
      if (found.unmapped) unmapped.push(id);
      const { foreignMib, foreignSource, launches } = found;
      return { id, usedMib, foreignMib, foreignSource, launches };
    });
    if (this.#closed) return readings;
    const text = `The processes that the driver lists on ${unmapped.join(', ')} are not those of our engines (a container without the host's process ids?): what engines use is measured by the device's difference over their start.`;
    this.#setConditions('mapping', unmapped.length === 0 ? [] : [{ code: 'processes_not_mapped', text }]);
    if (this.#following) this.#ports.told(readings);
    return readings;
  }

  #attribute(id: DeviceId, usedMib: number | null): Attribution {
    const found = attribute({
      usedMib,
      processes: this.#processes?.get(id) ?? null,
      ownerOf: (pid) => this.#ownerOf(pid),
      launches: this.#book.on(id),
      quiet: this.#quiet.get(id) ?? null,
    });
    this.#quiet.set(id, found.quiet);
    return found;
  }

  /** Asked once for each list of processes: rounds of a stream come often, and the answer is read from files. */
  #ownerOf(pid: number): LaunchId | null {
    const known = this.#owners.get(pid);
    if (known !== undefined) return known;
    const owner = this.#ports.ownerOf(pid);
    this.#owners.set(pid, owner);
    return owner;
  }

  #setConditions(topic: Topic, conditions: readonly DeviceCondition[]): void {
    const before = this.#conditions.get(topic) ?? [];
    const isSame =
      before.length === conditions.length && before.every(({ text }, at) => text === conditions[at]?.text);
    if (isSame || this.#closed) return;
    this.#conditions.set(topic, conditions);
    this.#ports.conditions([...this.#conditions.values()].flat());
  }
}

function raise(text: string): never {
  throw new Error(text);
}

function noProcesses(error: unknown): ProcessReport {
  const text = `Reading the processes on the devices failed: ${String(error)}`;
  return { byDevice: null, conditions: [{ code: 'processes_unknown', text }] };
}

function failedReading(error: unknown): RawReading {
  const text = `Reading the devices' memory failed: ${String(error)}`;
  return { uses: new Map(), failure: { code: 'device_reading_failed', text } };
}
