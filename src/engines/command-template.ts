/**
 * `command` of the configuration: an argv list of any OpenAI-compatible server, with placeholders. Values are put in
 * as they are, inside one argument; no shell ever sees them.
 */
import type { ResolvedModel } from '../config/resolved-config.ts';
import type { LaunchContext, ListenAddress } from './engine.ts';
import { modelArgument } from './host-files.ts';

/** A command that knows `{socket}` listens there, so that nobody else reaches its open routes. */
export function commandListensOn(command: readonly string[]): 'unix' | 'tcp' {
  return command.some((argument) => argument.includes('{socket}')) ? 'unix' : 'tcp';
}

/**
 * Fills `{host}`, `{port}`, `{socket}`, `{name}` and `{model}` (what was fetched, else the repository, else the name).
 * Braces that are no placeholder stay: JSON arguments are common.
 */
export function commandArgv(
  command: readonly string[],
  model: ResolvedModel,
  context: Pick<LaunchContext, 'listen' | 'source' | 'sharesHost'>,
): readonly string[] {
  const values: Readonly<Record<string, string>> = {
    ...listenValues(context.listen),
    name: model.servedName,
    model: modelArgument(model, context) ?? model.servedName,
  };
  return command.map((argument) =>
    argument.replace(/\{(host|port|socket|name|model)\}/g, (whole, key: string) => values[key] ?? whole),
  );
}

function listenValues(listen: ListenAddress): Readonly<Record<string, string>> {
  return listen.kind === 'unix'
    ? { socket: listen.socketPath }
    : { host: listen.host, port: String(listen.port) };
}
