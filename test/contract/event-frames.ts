/** Splits an event stream into its frames, as they stood on the wire. */
export interface EventFrame {
  readonly event: string | null;
  readonly data: string | null;
  readonly comment: string | null;
  /** False for text behind the last blank line: a frame that was cut. */
  readonly isWhole: boolean;
}

export function eventFrames(body: string): EventFrame[] {
  const parts = body.split('\n\n');
  const tail = parts.pop() ?? '';
  const frames = parts.map((part) => frameOf(part, true));
  return tail.trim() === '' ? frames : [...frames, frameOf(tail, false)];
}

function frameOf(text: string, isWhole: boolean): EventFrame {
  const lines = text.split('\n');
  const field = (prefix: string): string | null => {
    const found = lines.filter((line) => line.startsWith(prefix));
    return found.length === 0 ? null : found.map((line) => line.slice(prefix.length)).join('\n');
  };
  return { event: field('event: '), data: field('data: '), comment: field(': '), isWhole };
}
