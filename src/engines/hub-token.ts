/** The token for a hub, as Hugging Face's own tools find it, for an engine that may not see the file that it stands in. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const TOKEN_CHARS_MAX = 4096;

type Environment = Readonly<Record<string, string | undefined>>;

/** A secret; null: there is none. `files_too`: also what a login left, where no variable names one. */
export function hubToken(own: Environment, where: 'variables' | 'files_too'): string | null {
  const named = told(own, 'HF_TOKEN') ?? told(own, 'HUGGING_FACE_HUB_TOKEN');
  return named ?? (where === 'files_too' ? tokenFile(own) : null);
}

function tokenFile(own: Environment): string | null {
  const cache = told(own, 'XDG_CACHE_HOME') ?? join(told(own, 'HOME') ?? homedir(), '.cache');
  const home = told(own, 'HF_HOME') ?? join(cache, 'huggingface');
  try {
    const token = readFileSync(told(own, 'HF_TOKEN_PATH') ?? join(home, 'token'), 'utf8').trim();
    return token === '' || token.length > TOKEN_CHARS_MAX ? null : token;
  } catch {
    return null;
  }
}

function told(own: Environment, name: string): string | null {
  const value = own[name]?.trim();
  return value === undefined || value === '' ? null : value;
}
