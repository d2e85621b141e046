/** Traces: CSV files with the columns `t_ms,model,prompt_tokens,output_tokens`, sorted by time. */
import type { CsvReader } from './csv-reader.ts';
import { quoted, type RecordedRequests, recordedRequests, tokenCount } from './recorded-requests.ts';
import type { SimulatedRequest } from './request-source.ts';

const COLUMNS = ['t_ms', 'model', 'prompt_tokens', 'output_tokens'] as const;

/** @throws InputFault */
export function openTrace(file: string): RecordedRequests {
  return recordedRequests(file, traceRows);
}

function traceRows(reader: CsvReader): (row: readonly string[]) => SimulatedRequest {
  const places = reader.header(COLUMNS);
  return (row) => {
    const timeText = row[places.t_ms] ?? '';
    const atMs = Number(timeText);
    if (timeText.trim() === '' || !Number.isFinite(atMs) || atMs < 0)
      throw reader.fault(`t_ms is ${quoted(timeText)}`, 'Give the time in milliseconds from 0 on');
    const model = row[places.model] ?? '';
    if (model === '') throw reader.fault('model is missing', 'Name the model of the request');
    return {
      atMs,
      model,
      promptTokens: tokenCount(reader, row, places.prompt_tokens, 'prompt_tokens'),
      outputTokens: tokenCount(reader, row, places.output_tokens, 'output_tokens'),
    };
  };
}
