/** A gateway of its own process for the tests of the Docker runtime (crashing-launch.ts). */
import { launchAndSayUp } from '../../src/runtimes/crashing-launch.ts';
import { type GatewayOptions, openGateway } from './gateway-options.ts';

const [options = '{}', spec = '{}'] = process.argv.slice(2);
await launchAndSayUp(await openGateway(JSON.parse(options) as GatewayOptions), spec);
