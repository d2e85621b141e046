/** Requests that a recipe makes, as `--generate` names it: `grid:n=32,a=0.9,cv=4,rate=0.5,q=0.2,hours=4`. */
import { InputFault } from '../input-fault.ts';
import { OptionWords } from '../option-words.ts';
import type { RequestSource, RequestStream } from '../request-source.ts';
import { streamPrng } from './gamma.ts';
import type { DrawLengths } from './lengths.ts';
import { RECIPES } from './recipes.ts';

const FLAG = '--generate';
/** The stream of random numbers of which lengths are drawn. */
const LENGTHS_STREAM = 4_000_000;

/** `seed`: where the text names none. @throws InputFault */
export function generatedRequests(text: string, seed: number, drawLengths: DrawLengths): RequestSource {
  const colon = text.indexOf(':');
  const name = colon === -1 ? text : text.slice(0, colon);
  const recipe = Object.hasOwn(RECIPES, name) ? RECIPES[name] : undefined;
  if (recipe === undefined) {
    const remedy = `Known are ${Object.keys(RECIPES).join(', ')}`;
    throw new InputFault({ source: FLAG, place: name, problem: 'is no recipe', remedy });
  }
  const words = new OptionWords(FLAG, colon === -1 ? '' : text.slice(colon + 1));
  const used = words.number('seed', { otherwise: seed, least: 0, whole: true });
  const { modelCount, promptFactor, outputFactor, open } = recipe(words, used);
  words.end();
  const width = String(modelCount - 1).length;
  const models = Array.from({ length: modelCount }, (_, index) => `m${String(index).padStart(width, '0')}`);
  return {
    models,
    open: (): RequestStream => {
      const arrivals = open();
      const prng = streamPrng(used, LENGTHS_STREAM);
      return {
        next: () => {
          const arrival = arrivals();
          if (arrival === null) return null;
          const { promptTokens, outputTokens } = drawLengths(prng);
          return {
            atMs: arrival.atMs,
            model: models[arrival.model] ?? '',
            promptTokens: Math.round(promptTokens * promptFactor),
            outputTokens: Math.round(outputTokens * outputFactor),
          };
        },
        close: () => {},
      };
    },
  };
}
