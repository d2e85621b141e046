/** A gateway of its own process for the tests: launches what it is given, says so, and waits to be killed. */
import type { LaunchSpec } from '../runtime.ts';
import { openProcessRuntime } from './process-runtime.ts';

const [stateDirectory = '', spec = '{}'] = process.argv.slice(2);
const opened = await openProcessRuntime({ stateDirectory, outputLimitBytes: 1_000_000 });
if (!opened.ok) throw new Error(opened.error);
setInterval(() => undefined, 1000);
await opened.value.launch(JSON.parse(spec) as LaunchSpec, {
  line: (text) => {
    if (text === 'up') process.stdout.write('up\n');
  },
  exited: () => undefined,
});
