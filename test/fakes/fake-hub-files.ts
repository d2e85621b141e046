/**
 * A Hugging Face hub on loopback as downloads meet it: API, small files, and a store on another port for large ones, with
 * ranges, ETags and If-Range. Faults are put in by path, each for so many answers; it counts what it has served.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface HubRepository {
  commit: string;
  readonly files: Record<string, Uint8Array | string>;
  /** Paths that lie in the store, and are listed with their SHA-256. */
  readonly large?: readonly string[];
  /** Files are given to this token alone. */
  readonly gatedFor?: string;
  /** SHA-256 that the list tells instead of the right one. */
  readonly wrongSha?: Readonly<Record<string, string>>;
}

export type HubFault =
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly code?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** So many bytes, then silence. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** So many bytes, then a reset. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** So many bytes, then a clean end: no length was promised. */
  | { readonly kind: 'truncate'; readonly afterBytes: number }
  /** The whole file, with status 200, whatever was asked for. */
  | { readonly kind: 'whole' }
  /** The right length and a wrong content. */
  | { readonly kind: 'corrupt' }
  /** In pieces, with a pause after each. */
  | { readonly kind: 'slow'; readonly pieceBytes: number; readonly pauseMs: number };

export interface HubRequest {
  readonly server: 'hub' | 'store';
  readonly method: string;
  readonly path: string;
  readonly range: string | null;
  readonly ifRange: string | null;
  readonly authorization: string | null;
}

export interface FakeFileHub {
  readonly endpoint: string;
  readonly requests: readonly HubRequest[];
  readonly repositories: Map<string, HubRepository>;
  /** Files at `/plain/NAME`, outside of any repository. */
  readonly plain: Map<string, Uint8Array>;
  /** The next `times` answers to paths that contain `path` have the fault. */
  fault(path: string, fault: HubFault, times?: number): void;
  /** Bytes of a file's content handed to the socket, over all requests. */
  servedBytes(path: string): number;
  /** Resolves when the hub has served more than so many bytes of the file. */
  served(path: string, bytes: number): Promise<void>;
  close(): Promise<void>;
}

const PIECE_BYTES = 64 * 1024;

export async function startFakeFileHub(): Promise<FakeFileHub> {
  const hub = new FileHub();
  return hub.start();
}

class FileHub {
  readonly #requests: HubRequest[] = [];
  readonly #repositories = new Map<string, HubRepository>();
  readonly #plain = new Map<string, Uint8Array>();
  readonly #faults: { readonly path: string; readonly fault: HubFault; times: number }[] = [];
  readonly #served = new Map<string, number>();
  readonly #waiting = new Set<() => void>();
  #store = '';

  async start(): Promise<FakeFileHub> {
    const store = createServer((request, response) => void this.#answer('store', request, response));
    const hub = createServer((request, response) => void this.#answer('hub', request, response));
    this.#store = await listening(store);
    const endpoint = await listening(hub);
    return {
      endpoint,
      requests: this.#requests,
      repositories: this.#repositories,
      plain: this.#plain,
      fault: (path, fault, times = 1) => this.#faults.push({ path, fault, times }),
      servedBytes: (path) => this.#served.get(path) ?? 0,
      served: (path, bytes) =>
        new Promise((resolve) => {
          const look = (): void => {
            if ((this.#served.get(path) ?? 0) <= bytes) return;
            this.#waiting.delete(look);
            resolve();
          };
          this.#waiting.add(look);
          look();
        }),
      async close() {
        await Promise.all([closed(hub), closed(store)]);
      },
    };
  }

  async #answer(server: 'hub' | 'store', request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://hub').pathname);
    const header = (name: string): string | null => request.headers[name]?.toString() ?? null;
    this.#requests.push({
      server,
      method: request.method ?? '',
      path,
      range: header('range'),
      ifRange: header('if-range'),
      authorization: header('authorization'),
    });
    const fault = this.#take(path, true);
    if (fault?.kind === 'status') refuse(response, fault.status, fault.code, fault.headers);
    else if (server === 'store' || path.startsWith('/plain/'))
      await this.#sendContent(path, request, response);
    else if (path.startsWith('/api/models/')) this.#api(path, request, response);
    else await this.#resolve(path, request, response);
  }

  /** Faults of contents wait for an answer that has one: the hub's redirect to the store has none. */
  #take(path: string, isStatus: boolean): HubFault | null {
    const found = this.#faults.find(
      ({ path: part, fault, times }) =>
        times > 0 && path.includes(part) && (fault.kind === 'status') === isStatus,
    );
    if (found === undefined) return null;
    found.times -= 1;
    return found.fault;
  }

  #find(path: string): { readonly name: string; readonly repository: HubRepository } | null {
    for (const [name, repository] of this.#repositories) {
      if (path.startsWith(`${name}/`)) return { name, repository };
    }
    return null;
  }

  /** The hub tells strangers of no repository that they may not see, and everybody about gated ones. */
  #api(path: string, request: IncomingMessage, response: ServerResponse): void {
    const found = this.#find(path.slice('/api/models/'.length));
    if (found === null) {
      refuse(response, request.headers.authorization === undefined ? 401 : 404, 'RepoNotFound');
      return;
    }
    const { name, repository } = found;
    const [what, revision = ''] = path.slice(`/api/models/${name}/`.length).split('/');
    if (revision !== 'main' && revision !== repository.commit) refuse(response, 404, 'RevisionNotFound');
    else
      sendJson(response, what === 'tree' ? tree(repository) : { id: name, _id: 'x', sha: repository.commit });
  }

  async #resolve(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const found = this.#find(path.slice(1));
    const file = found === null ? '' : path.split('/').slice(5).join('/');
    const content = found?.repository.files[file];
    if (found === null || content === undefined) {
      refuse(response, 404, 'EntryNotFound');
      return;
    }
    const { gatedFor, large = [] } = found.repository;
    const { authorization } = request.headers;
    if (gatedFor !== undefined && authorization !== `Bearer ${gatedFor}`) {
      refuse(response, authorization === undefined ? 401 : 403, 'GatedRepo');
      return;
    }
    if (large.includes(file)) {
      const location = `${this.#store}/${found.name}/${encodeURIComponent(file)}?signature=secret`;
      response.writeHead(302, { location }).end();
      return;
    }
    await this.#send(path, Buffer.from(content), request, response);
  }

  async #sendContent(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const plain = this.#plain.get(path.replace('/plain/', ''));
    const found = this.#find(path.slice(1));
    const file = path.split('/').slice(3).join('/');
    const content = path.startsWith('/plain/') ? plain : found?.repository.files[file];
    if (content === undefined) refuse(response, 404);
    else await this.#send(path, Buffer.from(content), request, response);
  }

  async #send(
    path: string,
    whole: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const fault = this.#take(path, false);
    const etag = `"${createHash('sha256').update(whole).digest('hex')}"`;
    const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const ifRange = request.headers['if-range'];
    const isRange = asked !== null && fault?.kind !== 'whole' && (ifRange === undefined || ifRange === etag);
    const start = isRange ? Number(asked[1]) : 0;
    const end = isRange && asked[2] !== '' ? Math.min(whole.length, Number(asked[2]) + 1) : whole.length;
    if (start >= whole.length && whole.length > 0) {
      response.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end();
      return;
    }
    const part = Buffer.from(whole.subarray(start, end));
    if (fault?.kind === 'corrupt') part.fill(0x2a);
    response.writeHead(isRange ? 206 : 200, {
      etag,
      'accept-ranges': 'bytes',
      ...(isRange ? { 'content-range': `bytes ${start}-${end - 1}/${whole.length}` } : {}),
      ...(fault?.kind === 'truncate' ? {} : { 'content-length': part.length }),
    });
    await this.#write(path.split('/').at(-1) ?? '', part, response, fault);
  }

  async #write(name: string, part: Buffer, response: ServerResponse, fault: HubFault | null): Promise<void> {
    const limit =
      fault !== null && 'afterBytes' in fault ? Math.min(fault.afterBytes, part.length) : part.length;
    const pieceBytes = fault?.kind === 'slow' ? fault.pieceBytes : PIECE_BYTES;
    response.flushHeaders();
    for (let at = 0; at < limit && !response.destroyed; at += pieceBytes) {
      const piece = part.subarray(at, Math.min(limit, at + pieceBytes));
      await new Promise<void>((resolve) => response.write(piece, () => resolve()));
      this.#served.set(name, (this.#served.get(name) ?? 0) + piece.length);
      for (const look of this.#waiting) look();
      if (fault?.kind === 'slow') await sleep(fault.pauseMs);
    }
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'cut') response.destroy();
    else response.end();
  }
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function refuse(
  response: ServerResponse,
  status: number,
  code?: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(code === undefined ? {} : { 'x-error-code': code }),
    ...headers,
  });
  response.end(JSON.stringify({ error: code ?? 'refused' }));
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function tree({ files, large = [], wrongSha = {} }: HubRepository): object[] {
  return Object.entries(files).map(([path, content]) => {
    const bytes = Buffer.from(content);
    const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
    const sha256 = wrongSha[path] ?? createHash('sha256').update(bytes).digest('hex');
    const lfs = large.includes(path) ? { lfs: { oid: sha256, size: bytes.length, pointerSize: 134 } } : {};
    return { type: 'file', path, oid, size: bytes.length, ...lfs };
  });
}
