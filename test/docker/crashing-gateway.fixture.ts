/** A gateway of its own process for the tests: launches what it is given, notes that it serves, says so, and waits to be killed. */
import type { LaunchSpec } from '../../src/runtimes/runtime.ts';
import { type GatewayOptions, openGateway } from './gateway-options.ts';

const [options = '{}', spec = '{}'] = process.argv.slice(2);
const runtime = await openGateway(JSON.parse(options) as GatewayOptions);
setInterval(() => undefined, 1000);
const up = Promise.withResolvers<void>();
const result = await runtime.launch(JSON.parse(spec) as LaunchSpec, {
  line: (text) => {
    if (text === 'up') up.resolve();
  },
  exited: () => undefined,
});
await up.promise;
if (result.kind === 'launched') await runtime.note(result.handle, { kind: 'serving' });
process.stdout.write('up\n');
