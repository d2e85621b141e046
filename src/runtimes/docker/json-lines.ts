/** Docker's streams of JSON, one object a line. */

/** A longer line is none of Docker's. */
const LINE_CHARS_MAX = 1_000_000;

/** Lines that are no JSON are left out. Throws for a line without an end. */
export async function* jsonLines(stream: AsyncIterable<unknown>): AsyncGenerator<unknown, void, undefined> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of stream) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk as Uint8Array, { stream: true });
    const lines = (pending + text).split('\n');
    pending = lines.pop() ?? '';
    if (pending.length > LINE_CHARS_MAX) throw new Error('a line without an end');
    yield* lines.flatMap(parsed);
  }
  yield* parsed(pending);
}

function parsed(line: string): readonly unknown[] {
  if (line.trim() === '') return [];
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
