/** A port on which connections never come about: its process is stopped and its backlog full. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

const SCRIPT = `require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
  console.log(this.address().port);
});`;
const FILLERS = 16;

export interface StuckListener {
  readonly port: number;
  close(): Promise<void>;
}

export async function startStuckListener(): Promise<StuckListener> {
  const child = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const port = Number(line);
  child.kill('SIGSTOP');
  // The kernel accepts as many as the backlog holds, in the order in which they come; later ones get no answer.
  const fillers: Socket[] = Array.from({ length: FILLERS }, () =>
    connect({ port, host: '127.0.0.1' }).on('error', () => undefined),
  );
  const [first] = fillers;
  if (first !== undefined) await once(first, 'connect');
  return {
    port,
    async close() {
      for (const filler of fillers) filler.destroy();
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}
