/** Free TCP ports on loopback, each handed out once while its launch may still use it. */
import { createServer } from 'node:net';
import type { LaunchId } from '../../core/ids.ts';

export const LOOPBACK_HOST = '127.0.0.1';

const ATTEMPTS_MAX = 50;

export interface FreePorts {
  /** A port that was free a moment ago and that no other living launch was given. */
  take(launchId: LaunchId): Promise<number>;
  give(launchId: LaunchId): void;
}

export function createFreePorts(): FreePorts {
  const taken = new Map<LaunchId, number>();
  return {
    async take(launchId) {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
        const port = await askKernel();
        if ([...taken.values()].includes(port)) continue;
        taken.set(launchId, port);
        return port;
      }
      throw new Error(`no free port on ${LOOPBACK_HOST} after ${ATTEMPTS_MAX} attempts`);
    },
    give(launchId) {
      taken.delete(launchId);
    },
  };
}

async function askKernel(): Promise<number> {
  const server = createServer();
  return await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: LOOPBACK_HOST, port: 0, exclusive: true }, () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('the kernel gave no port'));
      });
    });
  });
}
