/**
 * Compares what came back with what a strict server reads of the same bytes. Refusing more than it must is the gateway's
 * right; answering what is not there, or with another request's answer, is not.
 */
import { type ReadAnswer, readAnswers } from './answer-reader.ts';
import type { Played } from './client.ts';
import { requestKey } from './ledger.ts';
import type { Script } from './script.ts';
import { type StrictRequest, valuesOf } from './strict-reader.ts';
import { MARK } from './valid-request.ts';

const CLIENT_ID = /^[A-Za-z0-9._:-]{1,128}$/;
/** Heads up to here are within the front's limit of 16 KiB, however they are counted. */
const HEAD_BYTES_SURE = 14 * 1024;
/** Node takes paths, URLs and hosts, in ASCII. */
const TARGET = /^(\/|https?:\/\/)[\x21-\x7e]*$/i;
const GATEWAY_ID = /^req-\w+-\w+$/;

/** What is wrong, in words. */
export function judge(script: Script, played: Played): string[] {
  const { requests, tail } = script.reading;
  const { answers, fault } = readAnswers(
    played.bytes,
    requests.map(({ method }) => method),
    true,
  );
  const wrong: string[] = fault === null ? [] : [fault];
  answers.forEach((answer, index) => {
    const isLast = index === answers.length - 1;
    const request = requests[index];
    const text =
      request === undefined
        ? judgeBeyond(answer, index > requests.length)
        : judgeAnswer(answer, request, isLast);
    if (text !== null) wrong.push(`answer ${index}: ${text}`);
    if (answer.headers.get('connection') === 'close' && !isLast)
      wrong.push(`answer ${index} was not the last`);
  });
  if (played.timedOut) wrong.push(`${answers.length} of ${requests.length} answers came in time`);
  if (script.leaving !== 'waits' || played.timedOut) return wrong;
  for (const [index, { complete }] of answers.entries())
    if (!complete && tail !== 'malformed') wrong.push(`answer ${index} is cut`);
  const closed = answers.at(-1)?.headers.get('connection') === 'close';
  if (tail === 'clean' && answers.length < requests.length && !closed && !requests.some(isRefusedByParser))
    wrong.push(`${answers.length} answers to ${requests.length} requests`);
  if (script.isValid) wrong.push(...judgeValid(script, answers));
  return wrong;
}

/** Node's parser refuses these, and what refuses a request ends the connection with all that runs on it. */
function isRefusedByParser({ target, headBytes }: StrictRequest): boolean {
  return headBytes > HEAD_BYTES_SURE || !TARGET.test(target);
}

/** To what no strict server takes for a request. */
function judgeBeyond(answer: ReadAnswer, isTooMany: boolean): string | null {
  if (isTooMany) return 'one more than there are requests';
  if (answer.headers.has(`${MARK}-key`)) return 'an engine answered what is no complete request';
  return answer.status >= 400 ? null : `status ${answer.status} to what is no complete request`;
}

function judgeAnswer(answer: ReadAnswer, request: StrictRequest, isLast: boolean): string | null {
  const key = answer.headers.get(`${MARK}-key`);
  if (key !== undefined) {
    if (key !== requestKey(request)) return `of ${key}, and ${requestKey(request)} was asked`;
    const isWhole =
      request.method === 'HEAD' || !answer.complete || answer.body.includes(`"key":${JSON.stringify(key)}`);
    return isWhole ? null : `a body of another: ${answer.body.slice(0, 200)}`;
  }
  const [wanted] = valuesOf(request, 'x-request-id');
  const id = answer.headers.get('x-request-id') ?? '';
  const expected = wanted !== undefined && CLIENT_ID.test(wanted) ? wanted : null;
  // What Node's parser refuses has no request, so its answer has an id of its own, and is the last.
  const isOwn = GATEWAY_ID.test(id) && (expected === null || (isLast && answer.status >= 400));
  return id === expected || isOwn ? null : `id ${id} to a request of id ${expected}`;
}

function judgeValid({ reading }: Script, answers: readonly ReadAnswer[]): string[] {
  return reading.requests.flatMap((_request, index) => {
    const answer = answers[index];
    if (
      answer?.status === 200 ||
      (answer === undefined && answers.at(-1)?.headers.get('connection') === 'close')
    )
      return [];
    return [`a valid request got ${answer?.status ?? 'nothing'}: ${answer?.body.slice(0, 300)}`];
  });
}
