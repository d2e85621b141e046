/** What of a client's text an error repeats. */

/** The text, or its first characters and an ellipsis; `charsMax` without that. */
export function clipped(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
}
