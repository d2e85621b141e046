/**
 * The victims of sets of devices at one moment. A set falls into components: devices that some engine spans belong
 * together, and nothing else joins them, so each component is solved for itself, and once for all sets that contain it.
 */
import type { ResidentView, WayOut } from './place.ts';
import { type ChosenVictim, cheapestVictims, type VictimCandidate, worthwhileWays } from './victims.ts';

/** A device at the moment in question. */
export interface Site {
  /** What is missing for the newcomer; not positive: nothing. */
  readonly missingMib: number;
  /** Those that may be gone by then. */
  readonly residents: readonly ResidentView[];
}

const ALONE: readonly number[] = [0];

/** As `JointVictims.of` this site alone. */
export function victimsOn(site: Site): readonly ChosenVictim[] | null {
  if (site.missingMib <= 0) return [];
  const candidates: VictimCandidate[] = [];
  for (const resident of site.residents) {
    const ways = worthwhileWays(resident.ways);
    if (ways.length > 0) candidates.push({ resident, on: ALONE, ways });
  }
  return cheapestVictims(candidates, [site.missingMib]);
}

export class JointVictims<S extends Site> {
  readonly #sites: readonly S[];
  readonly #ways = new Map<string, readonly WayOut[]>();
  readonly #spanning: readonly (readonly S[])[];
  readonly #solved = new Map<string, readonly ChosenVictim[] | null>();

  constructor(sites: readonly S[]) {
    this.#sites = sites;
    const sitesOf = new Map<string, S[]>();
    for (const site of sites) {
      for (const resident of site.residents) {
        const known = sitesOf.get(resident.model);
        const ways = this.#ways.get(resident.model) ?? worthwhileWays(resident.ways);
        this.#ways.set(resident.model, ways);
        if (ways.length === 0) continue;
        if (known === undefined) sitesOf.set(resident.model, [site]);
        else known.push(site);
      }
    }
    this.#spanning = [...sitesOf.values()].filter((spanned) => spanned.length > 1);
  }

  /** The devices of each engine that spans several. */
  get spanning(): readonly (readonly S[])[] {
    return this.#spanning;
  }

  /** The cheapest victims for a set of the sites; null: all that may be gone does not suffice. */
  of(set: readonly S[]): readonly ChosenVictim[] | null {
    const victims: ChosenVictim[] = [];
    const needy = new Set(set.filter((site) => site.missingMib > 0));
    for (const first of needy) {
      const solved = this.#solve(this.#takeComponent(first, needy));
      if (solved === null) return null;
      victims.push(...solved);
    }
    return victims;
  }

  /** Takes all sites out of `rest` that engines join to `first`, directly or through others. */
  #takeComponent(first: S, rest: Set<S>): readonly S[] {
    const component = [first];
    rest.delete(first);
    // Grows while it is walked.
    for (const site of component) {
      for (const spanned of this.#spanning) {
        if (!spanned.includes(site)) continue;
        for (const other of spanned) if (rest.delete(other)) component.push(other);
      }
    }
    return component;
  }

  #solve(component: readonly S[]): readonly ChosenVictim[] | null {
    const positions = component.map((site) => this.#sites.indexOf(site)).sort((a, b) => a - b);
    const key = positions.join(' ');
    const known = this.#solved.get(key);
    if (known !== undefined) return known;
    const sites = positions.map((position) => this.#sites[position]).filter((site) => site !== undefined);
    const solved = cheapestVictims(
      this.#candidates(sites),
      sites.map((site) => site.missingMib),
    );
    this.#solved.set(key, solved);
    return solved;
  }

  #candidates(sites: readonly S[]): readonly VictimCandidate[] {
    const candidates = new Map<string, VictimCandidate & { readonly on: number[] }>();
    sites.forEach((site, index) => {
      for (const resident of site.residents) {
        const known = candidates.get(resident.model);
        if (known !== undefined) known.on.push(index);
        else {
          const ways = this.#ways.get(resident.model) ?? [];
          if (ways.length > 0) candidates.set(resident.model, { resident, on: [index], ways });
        }
      }
    });
    return [...candidates.values()];
  }
}
