/** Refusals of single requests that the model's configuration can mend. The client gets the engine's words as they are. */

export interface AnswerRemedy {
  /** Stable word for the log and the status. */
  readonly code: 'tool_parser_missing';
  /** What to do, as one sentence without a full stop. */
  readonly text: string;
}

/** Long enough for the start of an error body to hold the whole sentence; a longer one is not looked at. */
const LOOKED_AT_CHARS = 2_048;

/** The sentences as they stand at the beginning of `message` in JSON, so that text of a client cannot be taken for one. */
const NO_AUTOMATIC_CHOICE =
  /"message"\s*:\s*"\\"auto\\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set/;
const NO_PARSER =
  /"message"\s*:\s*"tool_choice=(?:\\"[^"\\]{1,64}\\"|function \\"[^"\\]{1,64}\\") requires --tool-call-parser to be set/;

/** Pure. `bodyStart`: what has come of the body; both of the shapes of errors, OpenAI's and Anthropic's, are known. */
export function remedyOfAnswer(status: number, bodyStart: string): AnswerRemedy | null {
  if (status !== 400) return null;
  const text = bodyStart.slice(0, LOOKED_AT_CHARS);
  if (!NO_AUTOMATIC_CHOICE.test(text) && !NO_PARSER.test(text)) return null;
  return {
    code: 'tool_parser_missing',
    text: "requests with tools are refused: name the parser of the model's tool calls as its `tool_parser`",
  };
}
