/** A Docker behind a proxy, so that single calls of the engine API fail or hang while everything else is the real one. */
import { rmSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after } from 'node:test';
import { temporaryDirectory } from './docker-world.ts';

/** `fail`: 500 with that text. `hang`: it is passed on to Docker, and no answer comes. `drop`: nobody hears of it. */
export type Fault =
  | { readonly kind: 'fail'; readonly text: string }
  | { readonly kind: 'hang' }
  | { readonly kind: 'drop' };

export interface FaultyDocker {
  readonly host: string;
  /** What becomes of a call (`POST /v1.41/containers/x/start`); null: it goes on. Called once for each. */
  faultOf: (call: string) => Fault | null;
  /** Closes whatever hangs. */
  release(): void;
  /** Ends the connections on which events are heard. */
  dropEvents(): void;
}

export function openFaultyDocker(socketPath: string): FaultyDocker {
  const path = join(temporaryDirectory(), 'p.sock');
  const hanging = new Set<http.ServerResponse>();
  const hearing = new Set<http.ServerResponse>();
  const server = http.createServer((request, response) => {
    const fault = docker.faultOf(`${request.method} ${request.url}`);
    if (fault?.kind === 'fail') {
      request.resume();
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ message: fault.text }));
      return;
    }
    if (fault !== null) hanging.add(response);
    if (request.url?.includes('/events') === true) hearing.add(response);
    if (fault?.kind === 'drop') {
      request.resume();
      return;
    }
    const { url, method, headers } = request;
    const passed = http.request({ socketPath, path: url, method, headers }, (answer) => {
      answer.on('error', () => response.destroy());
      if (fault !== null) {
        answer.resume();
        return;
      }
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
      response.on('close', () => answer.destroy());
    });
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  });
  server.requestTimeout = 0;
  server.listen(path);
  const docker: FaultyDocker = {
    host: `unix://${path}`,
    faultOf: () => null,
    release() {
      for (const response of hanging) response.destroy();
      hanging.clear();
    },
    dropEvents() {
      for (const response of hearing) response.destroy();
      hearing.clear();
    },
  };
  after(() => {
    docker.release();
    server.close();
    server.closeAllConnections();
    rmSync(path, { force: true });
  });
  return docker;
}
