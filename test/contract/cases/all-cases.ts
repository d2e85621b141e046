/** The one list. Cases of one server run in this order; a case that ends its server is the last of that server. */
import type { ContractCase } from '../contract-case.ts';
import { answerCases } from './answers.ts';
import { connectionCases, plainCases, startOutputCases } from './endings.ts';
import { errorCases } from './errors.ts';
import { failedStartCases } from './failed-starts.ts';
import { guardedCases } from './guarded.ts';
import { portCases } from './port.ts';
import { routeCases } from './routes.ts';
import { sleepCases } from './sleep.ts';
import { streamCases } from './streams.ts';

export const contractCases: readonly ContractCase[] = [
  ...startOutputCases,
  ...routeCases,
  ...answerCases,
  ...streamCases,
  ...errorCases,
  ...sleepCases,
  ...portCases,
  ...connectionCases,
  ...guardedCases,
  ...plainCases,
  ...failedStartCases,
];
