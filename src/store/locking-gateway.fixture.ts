/** Tries to own a state directory, says what came of it, and holds on until it is killed. */
import { acquireStateLock, heldText } from './state-lock.ts';

const [directory = ''] = process.argv.slice(2);
const result = await acquireStateLock(directory);
process.stdout.write(result.kind === 'acquired' ? 'acquired\n' : `${heldText(directory, result.owner)}\n`);
// Held until our death, or that of who started us.
if (result.kind === 'acquired') process.stdin.resume();
