/** `claiming-process DIRECTORY DEVICE MIB`: claims, says how it went, and holds it until it is killed. */
import { openLedger } from './ledger.ts';

const [directory = '', deviceId = '', usedMib = '0'] = process.argv.slice(2);
const result = openLedger(directory).claim(process.pid, 'claiming', [{ deviceId, usedMib: Number(usedMib) }]);
process.stdout.write(`${result.kind} as ${process.pid}\n`);
setInterval(() => undefined, 1_000);
