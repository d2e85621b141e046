/**
 * A Hugging Face hub on loopback, as far as readers of metadata ask one: commit of a revision, list of files, parts of files.
 * Statuses, `x-error-code` and shapes are those of the hub's API. Faults by path: stall, cut, ignore ranges.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeRepository {
  readonly commit: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** Only a request with this token is answered; others get what the hub says to strangers. */
  readonly token?: string;
}

export type HubTrouble =
  | { readonly kind: 'status'; readonly status: number; readonly code?: string }
  | { readonly kind: 'stall' }
  /** Half of the promised bytes, then the connection breaks. */
  | { readonly kind: 'cut' }
  /** Fewer bytes than the range, well-formed otherwise. */
  | { readonly kind: 'short' }
  | { readonly kind: 'no_ranges' }
  /** More bytes than the range. */
  | { readonly kind: 'flood' }
  /** The file lies in a store, as large files of the hub do. */
  | { readonly kind: 'redirect'; readonly endpoint: string };

export interface FakeHub {
  readonly endpoint: string;
  /** Method and path of each request, with its range. */
  readonly requests: readonly {
    readonly path: string;
    readonly range: string | null;
    readonly token: string | null;
  }[];
  /** For paths that contain the key. */
  readonly troubles: Map<string, HubTrouble>;
  readonly repositories: Map<string, FakeRepository>;
  close(): Promise<void>;
}

const FLOOD_BYTES = 8 * 1024 * 1024;

export async function startFakeHub(): Promise<FakeHub> {
  const requests: { path: string; range: string | null; token: string | null }[] = [];
  const troubles = new Map<string, HubTrouble>();
  const repositories = new Map<string, FakeRepository>();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://hub').pathname);
    const token = request.headers.authorization?.replace('Bearer ', '') ?? null;
    requests.push({ path, range: request.headers.range ?? null, token });
    const trouble = [...troubles].find(([part]) => path.includes(part))?.[1] ?? null;
    if (trouble?.kind === 'stall') return;
    if (trouble?.kind === 'status') refuse(response, trouble.status, trouble.code);
    else if (trouble?.kind === 'redirect')
      response.writeHead(302, { location: `${trouble.endpoint}${request.url}` }).end();
    else answer(repositories, { request, response, path, token, trouble });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    requests,
    troubles,
    repositories,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly token: string | null;
  readonly trouble: HubTrouble | null;
}

function refuse(response: ServerResponse, status: number, code?: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(code === undefined ? {} : { 'x-error-code': code }),
  });
  response.end(JSON.stringify({ error: code ?? 'refused' }));
}

function answer(repositories: ReadonlyMap<string, FakeRepository>, exchange: Exchange): void {
  const { response, path, token } = exchange;
  const found = [...repositories].find(
    ([name]) => path.startsWith(`/api/models/${name}/`) || path.startsWith(`/${name}/resolve/`),
  );
  // The hub does not tell strangers whether a repository exists.
  if (found === undefined || (found[1].token !== undefined && found[1].token !== token)) {
    refuse(response, 401, 'RepoNotFound');
    return;
  }
  const [name, repository] = found;
  if (path.startsWith('/api/')) {
    const [what, revision = ''] = path.slice(`/api/models/${name}/`.length).split('/');
    if (!isRevision(repository, revision)) refuse(response, 404, 'RevisionNotFound');
    else
      sendJson(response, what === 'tree' ? tree(repository) : { id: name, _id: 'x', sha: repository.commit });
    return;
  }
  const [revision = '', ...rest] = path.slice(`/${name}/resolve/`.length).split('/');
  const content = repository.files[rest.join('/')];
  if (content === undefined || !isRevision(repository, revision)) refuse(response, 404, 'EntryNotFound');
  else sendFile(Buffer.from(content), exchange);
}

function isRevision({ commit }: FakeRepository, revision: string): boolean {
  return revision === 'main' || revision === commit;
}

function tree({ files }: FakeRepository): object[] {
  return Object.entries(files).map(([path, content]) => ({
    type: 'file',
    path,
    oid: 'f00d',
    size: Buffer.from(content).length,
  }));
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendFile(whole: Buffer, { request, response, trouble }: Exchange): void {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  if (range === null || trouble?.kind === 'no_ranges') {
    response.writeHead(200, { 'content-length': whole.length });
    response.end(whole);
    return;
  }
  const start = Number(range[1]);
  const part = whole.subarray(start, Number(range[2]) + 1);
  const contentRange = `bytes ${start}-${start + part.length - 1}/${whole.length}`;
  if (trouble?.kind === 'flood') {
    response.writeHead(206, { 'content-range': contentRange });
    response.end(Buffer.alloc(FLOOD_BYTES));
  } else if (trouble?.kind === 'short') {
    response.writeHead(206, { 'content-range': contentRange });
    response.end(part.subarray(0, part.length - 1));
  } else {
    response.writeHead(206, { 'content-range': contentRange, 'content-length': part.length });
    if (trouble?.kind !== 'cut') response.end(part);
    else response.write(part.subarray(0, part.length / 2), () => response.destroy());
  }
}
