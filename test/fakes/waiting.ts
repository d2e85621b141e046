/** Waiting in tests: for something to hold, with a deadline and never by a fixed time. */
import assert from 'node:assert/strict';

const DEADLINE_MS = 15_000;
const PAUSE_MS = 15;

/** Asks again and again until `holds` says yes; fails with `what` after fifteen seconds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `it never came to hold: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/**
 * Resolves when all has been read that was in this process's pipes at the call. Of two pipes either may be read first, and
 * a child's exit may be seen before what it wrote last; one whole turn of the event loop reads them empty. A child's
 * `close` is no replacement where its own children hold the pipes for longer.
 */
export async function readWhatIsWritten(): Promise<void> {
  // The first immediate may belong to the turn that runs now.
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
