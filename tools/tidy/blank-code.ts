/**
 * Blanks what is not code in TypeScript or JavaScript: comments, string contents, regular expressions. Length and
 * line breaks stay, so that an offset in the result is the same offset in the source. A rule that searches the result
 * for `Date` cannot be misled by a sentence about dates.
 */

/** Whether a slash after these begins a regular expression: after a value it is a division. */
const REGEX_AFTER_PUNCTUATION = '(,=:[!&|?{};+-*%^~<>';
const REGEX_AFTER_WORD =
  /(?:^|[^\w$.])(?:return|typeof|case|in|of|delete|void|throw|new|else|do|yield|await)$/;
/** One more than `return` and `typeof`, so that `myreturn` is told from `return`. */
const LONGEST_WORD = 8;

export function blankCode(source: string): string {
  return new Blanker(source).run();
}

class Blanker {
  readonly #source: string;
  readonly #result: string[] = [];
  #at = 0;
  /** For each template literal that we are inside of: how many braces its `${` part has open. */
  readonly #templateBraces: number[] = [];

  constructor(source: string) {
    this.#source = source;
  }

  run(): string {
    if (this.#source.startsWith('#!')) this.#blankUntil(this.#lineEnd());
    while (this.#at < this.#source.length) this.#step();
    return this.#result.join('');
  }

  #step(): void {
    const char = this.#source.charAt(this.#at);
    const pair = this.#source.slice(this.#at, this.#at + 2);
    if (pair === '//') this.#blankUntil(this.#lineEnd());
    else if (pair === '/*') this.#blankUntil(this.#indexAfter('*/', this.#at + 2));
    else if (char === "'" || char === '"') this.#string(char);
    else if (char === '`') this.#template();
    else if (char === '/' && this.#isRegexStart()) this.#regex();
    else if (char === '{' || char === '}') this.#brace(char);
    else this.#keep();
  }

  #brace(char: string): void {
    const depth = this.#templateBraces.at(-1);
    this.#keep();
    if (depth === undefined) return;
    const next = depth + (char === '{' ? 1 : -1);
    this.#templateBraces[this.#templateBraces.length - 1] = next;
    if (next > 0) return;
    this.#templateBraces.pop();
    this.#templateText();
  }

  #string(quote: string): void {
    this.#keep();
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at);
      if (char === quote || char === '\n') break;
      this.#blankUntil(this.#at + (char === '\\' ? 2 : 1));
    }
    this.#keep();
  }

  #template(): void {
    this.#keep();
    this.#templateText();
  }

  /** From inside a template's text to its end or to its next `${`. */
  #templateText(): void {
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at);
      if (char === '`') {
        this.#keep();
        return;
      }
      if (this.#source.startsWith('${', this.#at)) {
        this.#keep();
        this.#keep();
        this.#templateBraces.push(1);
        return;
      }
      this.#blankUntil(this.#at + (char === '\\' ? 2 : 1));
    }
  }

  #regex(): void {
    let isInClass = false;
    let end = this.#at + 1;
    for (; end < this.#source.length; end += 1) {
      const char = this.#source.charAt(end);
      if (char === '\\') end += 1;
      else if (char === '[') isInClass = true;
      else if (char === ']') isInClass = false;
      else if ((char === '/' && !isInClass) || char === '\n') break;
    }
    this.#blankUntil(end + 1);
  }

  #isRegexStart(): boolean {
    let end = this.#result.length;
    while (end > 0 && /\s/.test(this.#result[end - 1] ?? '')) end -= 1;
    if (end === 0) return true;
    const before = this.#result.slice(Math.max(0, end - LONGEST_WORD), end).join('');
    return REGEX_AFTER_PUNCTUATION.includes(before.at(-1) ?? '') || REGEX_AFTER_WORD.test(before);
  }

  #lineEnd(): number {
    const end = this.#source.indexOf('\n', this.#at);
    return end === -1 ? this.#source.length : end;
  }

  #indexAfter(text: string, from: number): number {
    const index = this.#source.indexOf(text, from);
    return index === -1 ? this.#source.length : index + text.length;
  }

  #keep(): void {
    this.#result.push(this.#source.charAt(this.#at));
    this.#at += 1;
  }

  #blankUntil(end: number): void {
    for (; this.#at < Math.min(end, this.#source.length); this.#at += 1) {
      this.#result.push(this.#source.charAt(this.#at) === '\n' ? '\n' : ' ');
    }
  }
}
