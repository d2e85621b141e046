/** A broken assertion is a defect of ours: it is thrown loudly and never turned into an answer for a client. */
class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** The same for where the message would cost what a good condition never needs: it is called only in the bad case. */
export function broken(message: string): never {
  throw new AssertionFailure(message);
}

/** Closes an exhaustive `switch`: the compiler refuses it while a variant is unhandled. */
export function assertNever(value: never, what: string): never {
  throw new AssertionFailure(`unexpected ${what}: ${JSON.stringify(value)}`);
}
