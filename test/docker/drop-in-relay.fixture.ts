/** Passes connections on between the tests' network and ours: `FROM TO`, each `unix:PATH` or `tcp:HOST:PORT`. Says `ready`. */
import { connect, createServer, type ListenOptions } from 'node:net';

function addressOf(text: string): ListenOptions & { readonly port: number; readonly path: string } {
  const [kind = '', ...rest] = text.split(':');
  const where =
    kind === 'unix' ? { path: rest.join(':') } : { host: rest[0] ?? '', port: Number(rest[1] ?? 0) };
  return where as ListenOptions & { readonly port: number; readonly path: string };
}

const [from = '', to = ''] = process.argv.slice(2);
createServer((near) => {
  const far = connect(addressOf(to));
  near.pipe(far).pipe(near);
  // What breaks on one side breaks on the other.
  near.once('error', () => far.destroy()).once('close', () => far.destroy());
  far.once('error', () => near.destroy()).once('close', () => near.destroy());
}).listen(addressOf(from), () => process.stdout.write('ready\n'));
