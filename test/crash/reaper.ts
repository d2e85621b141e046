/**
 * Runs beside a storm, in a session of its own: when the storm ends in whatever way, its pipe to us ends, and we end what
 * the storm has left. Engines outlive their gateways by design, so nobody else would.
 */
import { endEverything } from './everything.ts';
import { processCensus } from './process-census.ts';

const [mark = '', directory = ''] = process.argv.slice(2);

process.stdin.resume();
process.stdin.once('close', () => {
  void endEverything(processCensus(mark), directory).then(() => process.exit(0));
});
