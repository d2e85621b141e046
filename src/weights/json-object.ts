/** JSON of other people's files, of which nothing is certain. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** Null: no JSON, or no object. */
export function jsonObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
