/** Tells the devices of our launches' moves, from what the scheduler decides and hears: they read often while one moves. */
import type { DeviceId } from '../core/ids.ts';
import type { DeviceSource } from '../devices/device.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';

const NONE: readonly DeviceId[] = [];

/** Called for every event, so it looks at kinds before it does anything. */
export function tellDevices(devices: DeviceSource, event: SchedulerEvent, effects: readonly Effect[]): void {
  switch (event.kind) {
    case 'ready':
      devices.launchMoved(event.launchId, 'settled', NONE);
      break;
    case 'slept':
    case 'woke':
      // What went wrong is stopped; until then it may still move.
      if (event.ok) devices.launchMoved(event.launchId, 'settled', NONE);
      break;
    case 'no_room':
      // A launch that was never begun holds nothing; a waking that was not begun, what it held asleep.
      devices.launchMoved(event.launchId, event.asleep ? 'settled' : 'gone', NONE);
      break;
    case 'adopted':
      devices.launchMoved(event.launch.launchId, 'settled', event.launch.deviceIds);
      break;
    case 'exited':
      // Its memory is on the way back; the stop that verifies it follows.
      devices.launchMoved(event.launchId, 'moving', NONE);
      break;
    case 'stopped':
      if (event.verified) devices.launchMoved(event.launchId, 'gone', NONE);
      break;
    default:
      break;
  }
  for (const effect of effects) moved(devices, effect);
}

function moved(devices: DeviceSource, effect: Effect): void {
  if (effect.kind === 'start') devices.launchMoved(effect.launchId, 'moving', effect.deviceIds);
  if (effect.kind === 'stop' || effect.kind === 'sleep' || effect.kind === 'wake')
    devices.launchMoved(effect.launchId, 'moving', NONE);
}
