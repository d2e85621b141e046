/** Where engines run when nobody says it: pure, from the layers and what the loader found on the machine. */
import type { EnvironmentReading } from './environment.ts';
import type { HostFacts } from './host-facts.ts';
import { dockerOf, type Layers, modelOf, runtimeOf } from './layers.ts';
import { engineOf } from './resolve-model.ts';
import type { Notice, RuntimeConfig } from './resolved-config.ts';

interface KindInput {
  readonly layers: Layers;
  readonly reading: EnvironmentReading;
  readonly host: HostFacts;
}

/**
 * A configured kind holds. Without one the original's environment means containers, as the original ran nothing else, as far
 * as there is a Docker engine to run them; simulated models run beside the gateway.
 */
export function runtimeKindOf({ layers, reading, host }: KindInput): RuntimeConfig['kind'] {
  const configured = runtimeOf(layers).kind;
  if (configured !== undefined) return configured;
  return reading.original && host.dockerSocket === 'usable' && !hasSimulated(layers) ? 'docker' : 'process';
}

function hasSimulated(layers: Layers): boolean {
  return Object.values(layers.file.config.models).some(
    (own) => engineOf(own, modelOf(layers, own).engine) === 'simulated',
  );
}

/** What the log says of a kind that nobody chose, and of variables that it leaves without effect. */
export function runtimeKindNotices(input: KindInput): readonly Notice[] {
  const { layers, reading, host } = input;
  const kind = runtimeKindOf(input);
  const isChosen = runtimeOf(layers).kind !== undefined;
  if (kind === 'docker') {
    if (isChosen) return [];
    const text = `Engines run in containers of ${dockerOf(layers).host}, as the original gateway's did; \`runtime: {kind: process}\` in the configuration file runs them beside the gateway.`;
    return [{ level: 'info', text }];
  }
  const without = reading.containerVariables.map((name): Notice => {
    const text = `${name} has no effect: it concerns containers, and engines run as processes of this host`;
    return { level: 'info', text };
  });
  if (isChosen || !reading.original || host.dockerSocket !== 'forbidden' || hasSimulated(layers))
    return without;
  const text =
    `This user may not use the Docker socket (${dockerOf(layers).host}), so engines run as processes of this host, which the original's did not. ` +
    "Give the user the socket's group, or say `runtime: {kind: process}` in the configuration file if that is meant.";
  return [{ level: 'warn', text }, ...without];
}
