/** A gateway of its own process for the tests of the process runtime (crashing-launch.ts). */
import { launchAndSayUp } from '../crashing-launch.ts';
import { openRuntimeWithStore } from './process-site.fixture.ts';

const [stateDirectory = '', spec = '{}'] = process.argv.slice(2);
await launchAndSayUp(await openRuntimeWithStore(stateDirectory), spec);
