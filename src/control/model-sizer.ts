/**
 * Finds out what each model takes on this machine, and says so whenever it is known better (launch-need.ts has the order:
 * configured, learned, computed, whole devices).
 *  S1. Facts are read in the background; a model whose need depends on them has none until they are read or unreadable.
 *  S2. What was told (`onNeed`, `needOf`) and what a launch is given (`launchPlan`) are of one plan: the cache that an engine
 *      reserves is the one that its reservation was reckoned with.
 *  S3. An estimate is corrected once for each signature; a second failure for want of memory is the operator's to see.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ResolvedModel } from '../config/resolved-config.ts';
import { assert } from '../core/assert.ts';
import type { CancelTimer } from '../core/clock.ts';
import type { LaunchId, ModelName } from '../core/ids.ts';
import type { Device } from '../devices/device.ts';
import type { Diagnosis, MemoryReport } from '../engines/engine.ts';
import type { ReadFaultKind } from '../readers/read-fault.ts';
import type { ModelNeed } from '../scheduler/model-need.ts';
import { largestCapacity, wholeBudget } from '../sizing/device-fit.ts';
import { launchNeed } from '../sizing/launch-need.ts';
import type { Correction, LaunchNeed } from '../sizing/launch-question.ts';
import { runningNeed } from '../sizing/learned-need.ts';
import type { StoredFootprint } from '../store/footprints.ts';
import {
  CHANGE_MIB,
  learnedFrom,
  mergedReport,
  type SeenLaunch,
  withUse,
  worthStoring,
} from './learned-footprint.ts';
import { correctionsFor, correctionText, refusedFlags } from './sizer-mends.ts';
import type { LaunchPlan, MeasuredSleep, MeasuredUse, SizerPorts, SizingReport } from './sizer-ports.ts';
import { isChanged, KV_FLAG, needFrom, questionOf, type SizedModel } from './sizer-question.ts';
import { type FactsRead, SizerReading } from './sizer-reading.ts';

/** A model whose need does not quite depend on its facts starts as configured after this time. */
export const READ_WAIT_MS = 20_000;
/** A hub that did not answer is asked again after this. */
const READ_AGAIN_MS = 5 * 60_000;
const PASSING: ReadonlySet<ReadFaultKind> = new Set(['rate_limited', 'unreachable', 'timeout']);
/** Launches whose output and use are kept in mind; a machine has far fewer. */
const LAUNCHES_MAX = 256;
const MIB = 1024 * 1024;
const NO_DEVICE: ModelNeed = {
  deviceCount: 0,
  memoryMibPerDevice: null,
  leastMibPerDevice: 0,
  wholeShare: 1,
  contextMib: 0,
  sleepLevel: 0,
  residueMib: 0,
  hostAwakeMib: 0,
  hostAsleepMib: 0,
  neverFits: null,
};

interface Entry {
  readonly model: ResolvedModel;
  readonly signature: string;
  /** Null: nothing to read, or not read yet. */
  read: FactsRead | null;
  reading: boolean;
  learned: StoredFootprint | null;
  correction: Correction | null;
  /** What was told, and what it was told from. */
  plan: { readonly launch: LaunchNeed; readonly need: ModelNeed } | null;
  /** The newest answer, which may differ from the plan by less than is worth telling. */
  latest: LaunchNeed | null;
  /** Cache that its last launch was told to reserve; undefined: this gateway has launched none. */
  toldKvMib: number | null | undefined;
  /** The program that its launches run, as it was looked up last; null: not yet. */
  program: string | null;
}

export class ModelSizer {
  readonly #ports: SizerPorts;
  readonly #entries = new Map<ModelName, Entry>();
  readonly #reading: SizerReading;
  readonly #reports = new Map<LaunchId, MemoryReport>();
  readonly #seen = new Map<LaunchId, SeenLaunch>();
  readonly #told = new Map<LaunchId, number>();
  readonly #refused = new Map<string, ReadonlySet<string>>();
  #devices: readonly Device[] | null = null;
  #waitIsOver = false;
  #cancelWait: CancelTimer | null = null;
  readonly #cancelReads = new Map<ModelName, CancelTimer>();

  constructor(ports: SizerPorts) {
    this.#ports = ports;
    for (const model of ports.config.models.values()) {
      if (model.url !== null) continue;
      this.#entries.set(model.name, {
        model,
        signature: ports.signatureOf(model),
        read: null,
        reading: model.command === null && model.repo !== null,
        learned: null,
        correction: null,
        plan: null,
        latest: null,
        toldKvMib: undefined,
        program: null,
      });
    }
    this.#reading = new SizerReading(
      (model) => ports.readFacts(model),
      (model, read) => this.#factsRead(model, read),
    );
  }

  /** Takes up what was learned before and begins to read facts. Once. */
  start(): void {
    const { footprints, clock } = this.#ports;
    for (const stored of footprints.all()) {
      const entry = this.#entries.get(stored.model);
      if (entry === undefined || entry.signature !== stored.signature) continue;
      if (entry.learned === null || entry.learned.measuredAtS <= stored.measuredAtS) entry.learned = stored;
    }
    this.#cancelWait = clock.setTimer(clock.nowMs() + READ_WAIT_MS, () => {
      this.#waitIsOver = true;
      this.#recomputeAll();
    });
    this.#reading.add([...this.#entries.values()].filter(({ reading }) => reading).map(({ model }) => model));
  }

  /** Nothing is told afterwards. */
  close(): void {
    this.#cancelWait?.();
    for (const cancel of this.#cancelReads.values()) cancel();
    this.#reading.close();
  }

  devicesChanged(devices: readonly Device[]): void {
    // What foreign programs use is no concern here, and it is told often.
    if (this.#devices !== null && isDeepStrictEqual(devices, this.#devices)) return;
    this.#devices = devices;
    this.#recomputeAll();
  }

  /** Null: not known yet; `onNeed` will tell. */
  needOf(name: ModelName): ModelNeed | null {
    const entry = this.#entries.get(name);
    if (entry === undefined) return this.#ports.config.models.has(name) ? NO_DEVICE : null;
    if (entry.reading) this.#reading.hurry(name);
    return entry.plan?.need ?? null;
  }

  /** How a launch on so many devices is to be made. A reservation below the planned one leaves the cache to the engine. */
  launchPlan(name: ModelName, deviceCount: number, reservedMib = Number.POSITIVE_INFINITY): LaunchPlan {
    const entry = this.#entries.get(name);
    assert(entry !== undefined, `${name} is no model that is launched here`);
    this.#lookUpProgram(entry);
    const withoutFlags = this.#refusedBy(entry);
    const plan = entry.plan;
    const isPlanned =
      plan !== null &&
      plan.need.deviceCount === deviceCount &&
      reservedMib >= (plan.need.memoryMibPerDevice ?? 0) &&
      !withoutFlags.has(KV_FLAG);
    const kvCacheBytes = isPlanned ? plan.launch.kvCacheBytes : null;
    entry.toldKvMib = kvCacheBytes === null ? null : kvCacheBytes / MIB;
    return { kvCacheBytes, sleepMode: (plan?.need.sleepLevel ?? 0) > 0, withoutFlags };
  }

  /** What a starting engine says of its memory. */
  memoryReported(launchId: LaunchId, report: MemoryReport): void {
    keep(this.#reports, launchId, mergedReport(this.#reports.get(launchId) ?? {}, report));
  }

  /**
   * What a running engine uses. Answers what is to be reserved for it on each device from now on; null: what is reserved
   * already. A model that was given its devices, or a figure, by the configuration keeps what it was given, if that is enough.
   */
  measured(measured: MeasuredUse): number | null {
    const entry = this.#entries.get(measured.model);
    if (entry === undefined || entry.signature !== measured.signature) return null;
    const { launchId, model, signature, deviceCount } = measured;
    const known = this.#seen.get(launchId);
    const report = this.#reports.get(launchId) ?? {};
    const toldKvMib = known === undefined ? entry.toldKvMib : known.toldKvMib;
    const begun: SeenLaunch = { model, signature, deviceCount, use: null, hostMib: null, report, toldKvMib };
    const launch = withUse(
      { ...(known ?? begun), report },
      measured.usedMib,
      measured.source,
      measured.hostMib,
    );
    keep(this.#seen, launchId, launch);
    const stored = entry.learned?.deviceCount === deviceCount ? entry.learned : null;
    const learned = learnedFrom(launch, stored, this.#nowS());
    if (learned !== null) this.#learn(entry, stored, learned);
    return this.#reservationOf(entry, launchId, launch.use?.mib ?? 0);
  }

  /** What a sleeping engine has left on its devices and holds of the host. */
  asleepMeasured({ model, residueMib, hostMib }: MeasuredSleep): void {
    const entry = this.#entries.get(model);
    // Awake it was measured before it could fall asleep, unless its devices do not tell.
    if (entry === undefined || entry.learned === null) return;
    const { learned } = entry;
    this.#learn(entry, learned, {
      ...learned,
      residueMib: residueMib ?? learned.residueMib,
      hostAsleepMib: hostMib ?? learned.hostAsleepMib,
      measuredAtS: this.#nowS(),
    });
  }

  /** After a failed start: what was changed, in words, so that another one may succeed; null: nothing can be. */
  mend(name: ModelName, diagnosis: Diagnosis): string | null {
    const entry = this.#entries.get(name);
    // Of a command of the user's own nothing is generated.
    if (entry === undefined || entry.model.command !== null) return null;
    if (diagnosis.remedy?.again === true)
      return 'memory of its devices moved meanwhile, so it is tried again';
    const flags = refusedFlags(diagnosis, this.#refusedBy(entry));
    if (flags.length > 0) return this.#leaveOut(entry, flags);
    const { latest, plan } = entry;
    if (latest === null || plan === null || this.#devices === null) return null;
    if (entry.correction !== null || entry.model.need.memoryMibPerDevice !== null) return null;
    const wholeMib = largestCapacity(this.#devices, latest.deviceCount, wholeBudget);
    const tried = correctionsFor(diagnosis, plan.launch, wholeMib).map((correction) => ({
      correction,
      launch: this.#sized({ ...this.#sizedModel(entry), correction }),
    }));
    // Rather the bare correction here than the ample one on more devices.
    const isHere = ({ launch }: { readonly launch: LaunchNeed }) =>
      launch.neverFits === null && launch.deviceCount === plan.launch.deviceCount;
    const chosen = tried.find(isHere) ?? tried[0];
    const text = chosen === undefined ? null : correctionText(plan.launch, chosen.launch);
    if (chosen === undefined || text === null) return null;
    entry.correction = chosen.correction;
    this.#recompute(entry, true);
    return text;
  }

  report(): readonly SizingReport[] {
    return [...this.#entries.values()].map(({ model, read, plan, latest }) => ({
      model: model.name,
      source: latest?.source ?? 'waiting',
      deviceCount: plan?.need.deviceCount ?? model.need.deviceCount,
      memoryMibPerDevice: plan?.need.memoryMibPerDevice ?? null,
      kvCacheBytes: plan?.launch.kvCacheBytes ?? null,
      parts: latest?.parts ?? null,
      why: latest?.why ?? 'its facts are being read',
      neverFits: plan?.need.neverFits ?? null,
      factsOrigin: read === null ? null : read.ok ? read.value.origin : read.error.text,
      assumptions: read?.ok === true ? read.value.facts.assumptions : [],
    }));
  }

  #factsRead(model: ResolvedModel, read: FactsRead | null): void {
    const entry = this.#entries.get(model.name);
    if (entry === undefined) return;
    const isFirst = entry.reading;
    entry.reading = false;
    entry.read = read;
    if (read !== null && !read.ok && PASSING.has(read.error.kind)) this.#readAgain(model);
    if (isFirst && read !== null && !read.ok && model.need.memoryMibPerDevice === null)
      this.#ports.log('warn', `the size of ${model.name} cannot be computed: ${read.error.text}`, {
        model: model.name,
      });
    this.#recompute(entry, false);
  }

  /** Meanwhile it is used as unreadable; what is read later counts for its next launch. */
  #readAgain(model: ResolvedModel): void {
    const { clock } = this.#ports;
    this.#cancelReads.get(model.name)?.();
    const again = (): void => this.#reading.add([model]);
    this.#cancelReads.set(model.name, clock.setTimer(clock.nowMs() + READ_AGAIN_MS, again));
  }

  #learn(entry: Entry, before: StoredFootprint | null, learned: StoredFootprint): void {
    if (!worthStoring(before, learned)) return;
    entry.learned = learned;
    // What was missing is contained in what was measured since.
    if (entry.correction !== null) entry.correction = { ...entry.correction, extraMib: 0 };
    this.#ports.footprints.put(learned);
    this.#recompute(entry, false);
  }

  #reservationOf(entry: Entry, launchId: LaunchId, usedMib: number): number | null {
    const { launch } = entry.plan ?? {};
    if (launch === undefined) return null;
    const needMib = runningNeed(usedMib, this.#devices ?? []);
    const isGiven = launch.source === 'whole_device' || launch.source === 'configured';
    if (isGiven && usedMib <= (launch.memoryMibPerDevice ?? Number.POSITIVE_INFINITY)) return null;
    const toldMib = this.#told.get(launchId);
    if (toldMib !== undefined && Math.abs(needMib - toldMib) <= CHANGE_MIB) return null;
    keep(this.#told, launchId, needMib);
    return needMib;
  }

  #leaveOut(of: Entry, flags: readonly string[]): string {
    const key = this.#programOf(of);
    const refused = new Set(this.#refusedBy(of));
    for (const flag of flags) {
      this.#ports.footprints.addRefusedFlag(key, flag);
      refused.add(flag);
    }
    this.#refused.set(key, refused);
    for (const entry of this.#entries.values()) {
      if (this.#programOf(entry) === key) this.#recompute(entry, entry === of);
    }
    return `${key} does not take ${flags.join(' and ')}: left out from now on`;
  }

  #refusedBy(entry: Entry): ReadonlySet<string> {
    const key = this.#programOf(entry);
    const known = this.#refused.get(key) ?? new Set(this.#ports.footprints.refusedFlags(key));
    this.#refused.set(key, known);
    return known;
  }

  #recomputeAll(): void {
    for (const entry of this.#entries.values()) this.#recompute(entry, false);
  }

  #recompute(entry: Entry, tellsAlways: boolean): void {
    if (this.#devices === null || this.#waits(entry)) return;
    const sized = this.#sizedModel(entry);
    const launch = this.#sized(sized);
    const need = needFrom(launch, this.#devices, sized);
    entry.latest = launch;
    const before = entry.plan?.need ?? null;
    if (!tellsAlways && before !== null && !isChanged(before, need)) return;
    entry.plan = { launch, need };
    if (need.neverFits !== null && need.neverFits !== before?.neverFits)
      this.#ports.log('error', `${entry.model.name} fits on no device: ${need.neverFits}`, {
        model: entry.model.name,
      });
    this.#ports.onNeed(entry.model.name, need);
  }

  #sized(model: SizedModel): LaunchNeed {
    return launchNeed(questionOf(this.#ports.config, this.#devices ?? [], model));
  }

  /** S1. Whole cards are taken as configured after a while; the need of a share cannot be guessed. */
  #waits({ model, reading, learned }: Entry): boolean {
    if (!reading || learned !== null || model.need.memoryMibPerDevice !== null) return false;
    const isShare = this.#ports.config.scheduling.placementMode === 'budget' || model.colocate;
    return isShare || !this.#waitIsOver;
  }

  #sizedModel(entry: Entry): SizedModel {
    const { model, read, learned, correction } = entry;
    return {
      model,
      capabilities: this.#ports.engineOf(model).capabilities,
      isReachedPrivately: this.#ports.isReachedPrivately(model),
      facts: read?.ok === true ? read.value.facts : null,
      learned,
      correction,
      refusedFlags: this.#refusedBy(entry),
    };
  }

  /** Flags are refused by a program of some release, whatever model it was to serve: a newer one is asked again. */
  #programOf(entry: Entry): string {
    return entry.program ?? this.#lookUpProgram(entry);
  }

  /** Reads folders of the installation, so no oftener than at each launch. */
  #lookUpProgram(entry: Entry): string {
    const { model } = entry;
    const program = model.engine === 'simulated' ? 'vllm-sim' : model.vllm.executable.join(' ');
    const version = this.#ports.engineOf(model).version(model);
    entry.program = version === null ? program : `${program} ${version}`;
    return entry.program;
  }

  #nowS(): number {
    return Math.floor(this.#ports.clock.wallMs() / 1000);
  }
}

function keep<T>(map: Map<LaunchId, T>, launchId: LaunchId, value: T): void {
  map.delete(launchId);
  map.set(launchId, value);
  const [oldest] = map.keys();
  if (map.size > LAUNCHES_MAX && oldest !== undefined) map.delete(oldest);
}
