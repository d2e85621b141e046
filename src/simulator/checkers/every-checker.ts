/** All checkers of a run. */
import type { LaunchId } from '../../core/ids.ts';
import { BoundedWaitChecker } from './bounded-wait-checker.ts';
import type { Checker, Report } from './checker.ts';
import { CountsChecker } from './counts-checker.ts';
import { ExactlyOnceChecker } from './exactly-once-checker.ts';
import { MemoryChecker } from './memory-checker.ts';
import { OneMoveChecker } from './one-move-checker.ts';
import { OrphanChecker } from './orphan-checker.ts';

export interface CheckedRun {
  readonly report: Report;
  /** Launches that run on the machine at present. */
  readonly living: () => Iterable<LaunchId>;
  /** An assumption of the bound on waiting does not hold at present. */
  readonly isVoid: () => boolean;
}

export function everyChecker({ report, living, isVoid }: CheckedRun): readonly Checker[] {
  return [
    new MemoryChecker(report),
    new OneMoveChecker(report),
    new CountsChecker(report),
    new ExactlyOnceChecker(report),
    new BoundedWaitChecker(report, isVoid),
    new OrphanChecker(report, living),
  ];
}
