/** An element of a typed array at an index that is known to lie within it. */
export function at(values: { readonly [index: number]: number }, index: number): number {
  return values[index] as number;
}
