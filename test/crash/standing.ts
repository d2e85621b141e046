/** Where a gateway that does not get on stands, in its own words: a fault on a machine that nobody can look at has to tell all. */

const STATUS_LIMIT_MS = 5_000;

/** One line for each model, of `/gateway/status`; or why it does not answer. Never rejects. */
export async function standingOf(url: string): Promise<readonly string[]> {
  try {
    const answer = await fetch(`${url}/gateway/status`, { signal: AbortSignal.timeout(STATUS_LIMIT_MS) });
    return standingLines(await answer.json());
  } catch (error) {
    return [`its status cannot be had: ${error}`];
  }
}

type Shape = Readonly<Record<string, unknown>>;

export function standingLines(status: unknown): readonly string[] {
  const { models, active_containers: engines, gpus } = shapeOf(status);
  const lines = Object.entries(shapeOf(models)).map(([name, value]) => {
    const { state, phase, why, waiting, running, failure } = shapeOf(value);
    const { gpu_uuids: devices, vram_footprint: mib } = shapeOf(shapeOf(engines)[name]);
    const held = Array.isArray(devices) ? `, holds ${mib} MiB of ${devices.join(' and ')}` : '';
    const failed = failure == null ? '' : `, failed: ${failure}`;
    return `${name}: ${state} (${phase}), ${waiting} wait, ${running} run${held}, ${why}${failed}`;
  });
  const devices = Object.entries(shapeOf(gpus)).map(([id, value]) => {
    const { used_mib: used, reserved_mib: reserved, total_mib: total } = shapeOf(value);
    return `${id}: ${reserved} of ${total} MiB reserved, ${used} used`;
  });
  return [...lines, ...devices];
}

function shapeOf(value: unknown): Shape {
  return typeof value === 'object' && value !== null ? (value as Shape) : {};
}
