/** A model's repository on a hub. `@huggingface/hub` is loaded here and nowhere else, on first use. */
import type { ReachableHub } from './hub-access.ts';
import type { ModelFile, ModelFiles } from './model-files.ts';
import { ReadError } from './read-fault.ts';

/** Repositories have some dozen files; the largest sharded ones some hundred. */
const FILES_MAX = 10_000;

/** A file as the hub lists it. */
export interface HubFile extends ModelFile {
  /** Git's hash of the file (or of its pointer); null where the hub does not tell. */
  readonly blobId: string | null;
  /** Hash of the content, of files in the large file store alone. */
  readonly sha256: string | null;
}

/** The commit that a branch, tag or commit hash names now. */
export async function hubCommit(
  access: ReachableHub,
  repo: string,
  revision: string,
  hubFetch: typeof fetch,
): Promise<string> {
  const { modelInfo } = await import('@huggingface/hub');
  const info = await modelInfo({
    name: repo,
    revision,
    hubUrl: access.endpoint,
    fetch: hubFetch,
    additionalFields: ['sha'],
  });
  if (typeof info.sha !== 'string' || !/^[0-9a-f]{7,64}$/.test(info.sha))
    throw new ReadError('malformed', `${access.endpoint} did not tell the commit of ${repo}`);
  return info.sha;
}

export function hubFiles(
  access: ReachableHub,
  repo: string,
  commit: string,
  hubFetch: typeof fetch,
): ModelFiles {
  const address = (path: string) =>
    `${access.endpoint}/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
  return {
    label: repo,
    list: () => hubFileList(access, repo, commit, hubFetch),
    range: async (path, start, end) => {
      const response = await hubFetch(address(path), { headers: { range: `bytes=${start}-${end - 1}` } });
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (bytes.length !== end - start)
        throw new ReadError('malformed', `${path} of ${repo} ended after ${start + bytes.length} bytes`);
      return bytes;
    },
    ggufAddress: (path) => ({ uri: address(path), fetch: hubFetch }),
  };
}

/** All files of a commit, those in folders too. */
export async function hubFileList(
  access: ReachableHub,
  repo: string,
  commit: string,
  hubFetch: typeof fetch,
): Promise<readonly HubFile[]> {
  const { listFiles } = await import('@huggingface/hub');
  const files: HubFile[] = [];
  const entries = listFiles({
    repo,
    revision: commit,
    recursive: true,
    hubUrl: access.endpoint,
    fetch: hubFetch,
  });
  for await (const { type, path, size, oid, lfs } of entries) {
    if (type === 'file')
      files.push({
        path,
        sizeBytes: lfs?.size ?? size,
        blobId: oid ?? null,
        sha256: lfs?.oid ?? null,
      });
    if (files.length > FILES_MAX)
      throw new ReadError('too_large', `${repo} has more than ${FILES_MAX} files`);
  }
  return files;
}
