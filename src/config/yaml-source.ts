/**
 * Reads YAML into plain data and remembers where every key and value stands, also through anchors, aliases and merge keys
 * (a merged value stands where its anchor is).
 *
 * Invariants
 *  Y1. Whatever the text is, the result is data or faults, never a throw.
 *  Y2. The work is bounded: text, depth and number of values have limits, so that aliases cannot multiply without end.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import { failure, type Result, success } from '../core/result.ts';
import { type ConfigFault, type ConfigPath, type FaultCode, type FaultOrigin, fault } from './fault.ts';
import type { RawSource } from './source.ts';

const YAML_BYTES_MAX = 4 * 1024 * 1024;
const VALUES_MAX = 100_000;
const DEPTH_MAX = 64;
/** One slip of the pen makes the parser stumble again and again; the first faults are those that help. */
const SYNTAX_FAULTS_MAX = 20;

/** A value with its place; `children` for mappings and lists. */
interface Placed {
  readonly value: unknown;
  readonly offset: number | null;
  readonly keyOffset: number | null;
  readonly children: ReadonlyMap<string | number, Placed>;
}

/** `file` is what the faults call the text. */
export function readYaml(text: string, file: string): Result<RawSource, readonly ConfigFault[]> {
  const lines = new LineCounter();
  const originAt = (offset: number | null): FaultOrigin => {
    const place = offset === null ? null : lines.linePos(Math.min(offset, text.length));
    return { kind: 'file', file, line: place?.line ?? null, column: place?.col ?? null };
  };
  if (text.length > YAML_BYTES_MAX) {
    return failure([
      fault('too_large', originAt(null), [], `the file is larger than ${YAML_BYTES_MAX} bytes`),
    ]);
  }
  let document: Document.Parsed;
  try {
    // The parser's own check for unique keys takes quadratic time; the reader below does it in linear time.
    document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      merge: true,
      uniqueKeys: false,
    });
  } catch (error) {
    return failure([fault('syntax', originAt(null), [], `the YAML cannot be read: ${String(error)}`)]);
  }
  const problems = [...document.errors, ...document.warnings].slice(0, SYNTAX_FAULTS_MAX);
  const faults = problems.map((problem) =>
    fault('syntax', originAt(problem.pos[0]), [], `not valid YAML: ${plainMessage(problem.message)}`),
  );
  const reader = new Reader(document, originAt);
  const root = reader.read(document.contents, null, [], 0);
  faults.push(...reader.faults);
  if (faults.length > 0) return failure(faults);
  return success({
    value: root.value,
    originOf: (path, what) => originAt(offsetOf(root, path, what)),
  });
}

function plainMessage(message: string): string {
  if (message.includes('call stack')) return 'it is nested too deeply';
  return (message.split('\n')[0] ?? '').replace(/[.:]$/, '');
}

function offsetOf(root: Placed, path: ConfigPath, what: 'key' | 'value'): number | null {
  let current = root;
  for (const [depth, part] of path.entries()) {
    const child = current.children.get(part);
    // What is missing is reported at the key of the mapping it is missing from.
    if (child === undefined) return current.keyOffset ?? current.offset;
    current = child;
    if (depth === path.length - 1 && what === 'key') return current.keyOffset ?? current.offset;
  }
  return current.offset ?? current.keyOffset;
}

class Reader {
  readonly faults: ConfigFault[] = [];
  readonly #document: Document;
  readonly #originAt: (offset: number | null) => FaultOrigin;
  readonly #reported = new Set<string>();
  #values = 0;
  #exhausted = false;

  constructor(document: Document, originAt: (offset: number | null) => FaultOrigin) {
    this.#document = document;
    this.#originAt = originAt;
  }

  read(node: Node | null | undefined, keyOffset: number | null, path: ConfigPath, depth: number): Placed {
    const offset = node?.range?.[0] ?? null;
    const leaf = (value: unknown): Placed => ({ value, offset, keyOffset, children: new Map() });
    this.#values += 1;
    if (this.#values > VALUES_MAX || depth > DEPTH_MAX) {
      if (!this.#exhausted) this.#fault('too_large', offset, [], this.#exhaustion(depth));
      this.#exhausted = true;
    }
    if (this.#exhausted || node === null || node === undefined) return leaf(null);
    if (isAlias(node))
      return { ...this.read(this.#target(node, path), keyOffset, path, depth + 1), keyOffset };
    if (isScalar(node)) return leaf(this.#scalar(node.value, offset, path));
    if (isSeq<Node>(node)) {
      const children = node.items.map((item, index) => this.read(item, null, [...path, index], depth + 1));
      return {
        value: children.map((child) => child.value),
        offset,
        keyOffset,
        children: new Map(children.entries()),
      };
    }
    if (isMap<Node, Node | null>(node)) {
      const children = new Map<string, Placed>();
      this.#readPairs(node, children, path, depth);
      const value = Object.fromEntries([...children].map(([key, child]) => [key, child.value]));
      return { value, offset, keyOffset, children };
    }
    return leaf(null);
  }

  #exhaustion(depth: number): string {
    return depth > DEPTH_MAX ? `nested deeper than ${DEPTH_MAX} levels` : `more than ${VALUES_MAX} values`;
  }

  #scalar(value: unknown, offset: number | null, path: ConfigPath): unknown {
    const plain = value === null || typeof value === 'string' || typeof value === 'boolean';
    if (plain || (typeof value === 'number' && Number.isFinite(value))) return value;
    this.#fault('invalid_value', offset, path, 'neither text, nor a finite number, a boolean or null');
    return null;
  }

  /** Keys of the mapping itself first: they win over merged ones, and earlier merged mappings over later ones. */
  #readPairs(
    map: YAMLMap<Node, Node | null>,
    into: Map<string, Placed>,
    path: ConfigPath,
    depth: number,
  ): void {
    const own = new Set<string>();
    for (const pair of map.items) {
      if (isMerge(pair)) continue;
      const key = this.#key(pair.key, path);
      if (key === null) continue;
      if (own.has(key)) {
        this.#fault(
          'duplicate_key',
          pair.key.range?.[0] ?? null,
          [...path, key],
          'the key stands twice in this mapping',
        );
      }
      own.add(key);
      if (into.has(key)) continue;
      into.set(key, this.read(pair.value, pair.key.range?.[0] ?? null, [...path, key], depth + 1));
    }
    for (const pair of map.items) {
      if (isMerge(pair)) this.#merge(pair.value, into, path, depth + 1);
    }
  }

  #merge(node: Node | null, into: Map<string, Placed>, path: ConfigPath, depth: number): void {
    const source = isAlias(node) ? this.#target(node, path) : node;
    if (depth > DEPTH_MAX || this.#exhausted) {
      this.read(node, null, path, depth);
    } else if (isSeq<Node>(source)) {
      for (const item of source.items) this.#merge(item, into, path, depth + 1);
    } else if (isMap<Node, Node | null>(source)) {
      this.#readPairs(source, into, path, depth + 1);
    } else if (source !== undefined) {
      this.#fault('syntax', node?.range?.[0] ?? null, path, '`<<` takes a mapping or a list of mappings');
    }
  }

  #key(node: Node, path: ConfigPath): string | null {
    const offset = node.range?.[0] ?? null;
    const resolved = isAlias(node) ? this.#target(node, path) : node;
    if (!isScalar(resolved)) {
      if (resolved !== undefined) this.#fault('syntax', offset, path, 'a key must be plain text');
      return null;
    }
    const key =
      typeof resolved.value === 'string' ? resolved.value : (resolved.source ?? String(resolved.value));
    if (key !== '__proto__') return key;
    this.#fault('syntax', offset, path, '`__proto__` cannot be a key');
    return null;
  }

  #target(alias: Alias, path: ConfigPath): Node | undefined {
    const target = alias.resolve(this.#document);
    if (target === undefined) {
      this.#fault(
        'syntax',
        alias.range?.[0] ?? null,
        path,
        `no anchor \`&${alias.source}\` stands before this alias`,
      );
    }
    return target;
  }

  /** What an alias repeats is reported once, where it stands. */
  #fault(code: FaultCode, offset: number | null, path: ConfigPath, problem: string): void {
    const place = `${code} ${offset}`;
    if (this.#reported.has(place)) return;
    this.#reported.add(place);
    this.faults.push(fault(code, this.#originAt(offset), path, problem));
  }
}

/** With the merge option the parser marks the unquoted key `<<` by a symbol or leaves the text, depending on the schema. */
function isMerge(pair: Pair<Node, Node | null>): boolean {
  const key: unknown = pair.key;
  return isScalar(key) && (typeof key.value === 'symbol' || (key.value === '<<' && key.type === 'PLAIN'));
}
