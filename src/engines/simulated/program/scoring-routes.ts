/** Routes that ask a generating model for the probability of an answer instead of for the answer. */
import type { SimContext } from './context.ts';
import { badRequest, type Exchange, type JsonObject, sendJson } from './exchange.ts';
import { nowS } from './openai-routes.ts';
import { createJob, type Job, resolveModel, runJob, usageOf } from './sampling.ts';
import { countTokens, embed } from './text.ts';
import { checkFields, objectOf } from './validation.ts';

/** How much of the probability the model puts on the labels that it was asked about. */
const LABEL_MASS = 0.9;

/** /generative_scoring: one score for each item, of the first of the label tokens. */
export async function generativeScoring(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
): Promise<void> {
  const fields = { model: 'string', items: 'list', label_token_ids: 'list' } as const;
  checkFields(body, fields, ['query', 'items', 'label_token_ids']);
  const model = resolveModel(context, body);
  const labels = body['label_token_ids'] as readonly unknown[];
  const items = body['items'] as readonly unknown[];
  if (labels.length === 0) throw badRequest('label_token_ids must contain at least one token ID.');
  if (items.length === 0) throw badRequest('items must contain at least one item.');
  const prompts = items.map((item) => `${textOf(context, body['query'])}${textOf(context, item)}`);
  const tokens = await read(context, exchange, body, prompts);
  sendJson(exchange, 200, {
    id: `generative-scoring-${exchange.requestId}`,
    object: 'list',
    created: nowS(),
    model,
    data: prompts.map((prompt, index) => ({
      index,
      object: 'score',
      score: share(prompt, labels.map(String))[0],
    })),
    usage: usageOf(tokens, prompts.length),
  });
}

/** /v1/systemone: structured decisions, one answer for each question. */
export async function structuredDecision(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
): Promise<void> {
  checkFields(body, { model: 'string', questions: 'object', instructions: 'string' }, ['state', 'questions']);
  const model = resolveModel(context, body);
  const questions = Object.entries(objectOf(body['questions']) ?? {});
  if (questions.length === 0) throw badRequest('questions: needs at least one question');
  const state = typeof body['state'] === 'string' ? body['state'] : JSON.stringify(body['state']);
  const answers: Record<string, JsonObject> = {};
  const prompts: string[] = [];
  for (const [id, asked] of questions) {
    const prompt = `${state}\n${JSON.stringify(asked)}`;
    prompts.push(prompt);
    answers[id] = answerTo(id, objectOf(asked) ?? {}, prompt);
  }
  const tokens = await read(context, exchange, body, prompts);
  sendJson(exchange, 200, {
    id: `decision-${exchange.requestId}`,
    object: 'structured_decision',
    created: nowS(),
    model,
    answers,
    usage: { input_tokens: tokens, output_tokens: prompts.length },
    diagnostics: Object.fromEntries(
      questions.map(([id]) => [id, { label_mass: LABEL_MASS, argmax_is_label: true }]),
    ),
  });
}

function answerTo(id: string, { type, criteria }: JsonObject, prompt: string): JsonObject {
  switch (type) {
    case 'choice': {
      const names = Object.keys(objectOf(criteria) ?? {});
      if (names.length === 0)
        throw badRequest(`question '${id}': choice criteria must map option names to descriptions`);
      const shares = share(prompt, names);
      const most = Math.max(...shares);
      return {
        type,
        choice: names[shares.indexOf(most)],
        probabilities: Object.fromEntries(names.map((name, index) => [name, shares[index]])),
        confidence: most * LABEL_MASS,
      };
    }
    case 'noul': {
      const [yes = 0, no = 0] = share(prompt, ['yes', 'no']);
      return { type, noul: yes, probabilities: { yes, no }, confidence: Math.max(yes, no) * LABEL_MASS };
    }
    case 'score': {
      const levels = Array.isArray(criteria) ? criteria.map(String) : [];
      if (levels.length < 2)
        throw badRequest(`question '${id}': score criteria must be an ordered list of levels`);
      const shares = share(prompt, levels);
      return {
        type,
        score: shares.reduce((sum, part, index) => sum + part * index, 0),
        legend: Object.fromEntries(levels.entries()),
        probabilities: Object.fromEntries(shares.entries()),
        confidence: Math.max(...shares) * LABEL_MASS,
      };
    }
    default:
      throw badRequest(`question '${id}': unknown type '${String(type)}'`);
  }
}

/** Probabilities of labels after a prompt, which add up to one. */
function share(prompt: string, labels: readonly string[]): number[] {
  const weights = labels.map((label) => 1.5 + (embed(`${prompt}|${label}`, 1)[0] ?? 0));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** One generated token for each prompt. Resolves with the tokens of all prompts. */
async function read(
  context: SimContext,
  exchange: Exchange,
  body: JsonObject,
  prompts: readonly string[],
): Promise<number> {
  const jobs: Job[] = prompts.map((text) =>
    createJob(
      context,
      exchange,
      { model: body['model'], max_tokens: 1, ignore_eos: true },
      { text, lastUserText: text, tokens: countTokens(text) },
      { maxTokens: 1, maxTokensName: 'max_tokens' },
    ),
  );
  await Promise.all(
    jobs.map((job) => runJob(context, exchange, job, { token: () => {}, finished: () => {} })),
  );
  return jobs.reduce((sum, job) => sum + job.promptTokens, 0);
}

function textOf(context: SimContext, value: unknown): string {
  return Array.isArray(value) ? context.vocabulary.decode(value.map(Number)) : String(value);
}
