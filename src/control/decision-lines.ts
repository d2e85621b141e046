/**
 * Log lines of decisions about single requests. Those about engines are logged by who carries them out (engine-fleet.ts,
 * model-fetches.ts).
 */
import type { LogLevel } from '../config/resolved-config.ts';
import type { Effect } from '../scheduler/effects.ts';
import type { Log } from '../telemetry/log.ts';

/** Called for every decision: does nothing for the usual ones where the level asks for nothing. */
export function createDecisionLines(log: Log, level: LogLevel): (effects: readonly Effect[]) => void {
  const logsAll = level === 'trace' || level === 'debug';
  return (effects) => {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'cut':
        case 'lone_death':
          log('warn', `${effect.kind.replace('_', ' ')} of request ${effect.requestId}: ${effect.reason}`);
          break;
        case 'dispatch':
          if (logsAll)
            log('debug', `dispatch to ${effect.model}: ${effect.reason}`, {
              ...{ request: effect.requestId, model: effect.model, launch: effect.launchId },
              ...{ load: effect.load, wait_ms: Math.round(effect.waitedMs) },
            });
          break;
        case 'refuse':
          if (logsAll)
            log('debug', `refuse: ${effect.reason}`, {
              request: effect.requestId,
              code: effect.refusal.code,
            });
          break;
        default:
          break;
      }
    }
  };
}
