/** What a gateway of its own process does for the tests: launches, notes that it serves, says so, and waits to be killed. */
import type { LaunchSpec, Runtime } from './runtime.ts';

/** `specText`: a `LaunchSpec` as JSON, of a program that says `up`. */
export async function launchAndSayUp(runtime: Runtime, specText: string): Promise<void> {
  setInterval(() => undefined, 1000);
  const up = Promise.withResolvers<void>();
  const result = await runtime.launch(JSON.parse(specText) as LaunchSpec, {
    line: (text) => {
      if (text === 'up') up.resolve();
    },
    exited: () => undefined,
  });
  await up.promise;
  if (result.kind === 'launched') await runtime.note(result.handle, { kind: 'serving' });
  process.stdout.write('up\n');
}
