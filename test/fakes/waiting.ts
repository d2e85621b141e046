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
