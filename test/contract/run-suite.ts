/**
 * Runs cases on one side: at most one server at a time where servers are dear, cases of one server in the order of the list, every process ended
 * whatever happens.
 */
import type { CaseContext, CaseRecord, ContractCase, ServerName } from './contract-case.ts';
import type { EngineServer } from './engine-server.ts';
import { exchange } from './http-exchange.ts';
import { answerShape, showBytes, showText } from './shape.ts';
import { type Side, servedName, startLone, startServer } from './sides.ts';

const bytesPerAnswerMax = 900;
const loneExitLimitMs = 180_000;

export type SideRecords = ReadonlyMap<string, CaseRecord | { readonly failure: string }>;

/** Runs all cases that this side takes part in. A case that throws is a failure of that case alone. */
export async function runSuite(
  side: Side,
  cases: readonly ContractCase[],
  onProgress: (line: string) => void,
): Promise<SideRecords> {
  const records = new Map<string, CaseRecord | { failure: string }>();
  const mine = cases.filter((one) => one.only === undefined || one.only.side === side.name);
  const groups = (['chat', 'guarded', 'plain', 'none'] as const).map((name) => async (): Promise<void> => {
    const group = mine.filter((one) => one.server === name);
    if (group.length === 0) return;
    if (name !== 'none') return runGroup(side, name, group, records, onProgress);
    for (const one of group) records.set(one.name, await runCase(side, one, null, onProgress));
  });
  if (side.manyServers) await Promise.all(groups.map((run) => run()));
  else for (const run of groups) await run();
  return records;
}

async function runGroup(
  side: Side,
  name: Exclude<ServerName, 'none'>,
  group: readonly ContractCase[],
  records: Map<string, CaseRecord | { failure: string }>,
  onProgress: (line: string) => void,
): Promise<void> {
  onProgress(`${side.name}: starting the server "${name}"`);
  let started: Awaited<ReturnType<typeof startServer>>;
  try {
    started = await startServer(side, name);
  } catch (error) {
    for (const one of group) records.set(one.name, { failure: `its server did not start: ${String(error)}` });
    return;
  }
  try {
    for (const one of group) records.set(one.name, await runCase(side, one, started.server, onProgress));
  } finally {
    await started.end();
  }
}

async function runCase(
  side: Side,
  one: ContractCase,
  server: EngineServer | null,
  onProgress: (line: string) => void,
): Promise<CaseRecord | { failure: string }> {
  const began = performance.now();
  const recorder = createRecorder(side, server);
  try {
    await one.run(recorder.context);
    onProgress(`${side.name}: ${one.name} (${Math.round(performance.now() - began)} ms)`);
    return recorder.record();
  } catch (error) {
    onProgress(`${side.name}: ${one.name} FAILED`);
    return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  } finally {
    await recorder.endAll();
  }
}

function createRecorder(
  side: Side,
  server: EngineServer | null,
): {
  readonly context: CaseContext;
  record(): CaseRecord;
  endAll(): Promise<void>;
} {
  const lines: string[] = [];
  const bytes: { label: string; text: string }[] = [];
  const lone: EngineServer[] = [];
  const needed = (): EngineServer => {
    if (server === null) throw new Error('this case has no server of its own');
    return server;
  };
  const context: CaseContext = {
    side: side.name,
    hangPatienceMs: side.hangPatienceMs,
    get server() {
      return needed();
    },
    model: servedName,
    askQuietly: (request) => exchange(needed().address, request),
    async ask(label, request) {
      const answer = await exchange(needed().address, request);
      lines.push(...answerShape(answer).map((line) => `${label}: ${line}`));
      bytes.push({ label, text: showBytes(answer, bytesPerAnswerMax) });
      return answer;
    },
    note(label, fact, detail) {
      const facts = typeof fact === 'string' ? [fact] : fact;
      lines.push(...facts.map((line) => `${label}: ${line}`));
      bytes.push({ label, text: showText(detail ?? facts.join('\n')) });
    },
    async startAlone(options) {
      const started = await startLone(side, options);
      lone.push(started);
      const { whenOutput } = options;
      if (whenOutput !== undefined) {
        await started.wrote(whenOutput.text, side.startLimitMs);
        whenOutput.call(started);
      }
      if (options.patienceMs === undefined) return started.exited(loneExitLimitMs);
      return started
        .exited(options.patienceMs)
        .catch(() => ({ code: null, signal: 'still running', lines: started.lines }));
    },
  };
  return {
    context,
    record: () => ({ lines, bytes }),
    endAll: async () => {
      for (const one of lone) await one.end();
    },
  };
}
