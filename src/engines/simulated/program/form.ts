/** Forms as FastAPI takes them: text fields, and one file. */
import { ApiError, type Exchange, type JsonObject } from './exchange.ts';

export interface Form {
  /** Of fields that come twice the last one counts. */
  readonly fields: JsonObject;
  /** The field `file`; null: there is none. */
  readonly file: Buffer | null;
}

const FORM_TYPE = /^(multipart\/form-data|application\/x-www-form-urlencoded)\s*(;|$)/i;

/** A body of another type is a form without fields. */
export async function readForm(exchange: Exchange, body: Buffer): Promise<Form> {
  const type = exchange.request.headers['content-type'] ?? '';
  const fields: Record<string, unknown> = {};
  if (!FORM_TYPE.test(type)) return { fields, file: null };
  let file: Buffer | null = null;
  for (const [name, value] of await parse(type, body)) {
    if (name !== 'file') fields[name] = typeof value === 'string' ? value : value.name;
    else if (typeof value === 'string') {
      throw new ApiError(422, 'Unprocessable Entity', "Expected 'file' to be a file-like object, not 'str'.");
    } else file = Buffer.from(await value.arrayBuffer());
  }
  return { fields, file };
}

async function parse(type: string, body: Buffer): Promise<Iterable<[string, string | File]>> {
  try {
    return await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData();
  } catch {
    throw new ApiError(400, 'Bad Request', 'There was an error parsing the body');
  }
}
