/** Decides whether a request's sender may ask at all: by its key where keys are configured, else by what it is. */
import type { Refusal } from '../core/errors.ts';
import type { FrontContext } from './front-context.ts';
import { needsKey } from './own-routes.ts';
import type { RequestHead } from './request-checks.ts';
import type { Route } from './routes.ts';
import { checkHost, checkPage } from './web-pages.ts';

/** `principal`: the name of the key; null where none is asked. */
export type Caller =
  | { readonly kind: 'ok'; readonly principal: string | null }
  | { readonly kind: 'fault'; readonly refusal: Refusal };

const ANYBODY: Caller = { kind: 'ok', principal: null };

export function checkCaller(
  head: RequestHead,
  route: Route,
  context: Pick<FrontContext, 'keys' | 'onLoopback' | 'cors'>,
): Caller {
  const { keys } = context;
  if (keys === null) {
    const isKnownPage = head.origin !== null && context.cors?.isAllowed(head.origin) === true;
    const startsEngines = route.kind === 'model' || route.kind === 'engine_path';
    const refusal =
      (context.onLoopback ? checkHost(head.host) : null) ??
      (startsEngines && !isKnownPage ? checkPage(head) : null);
    return refusal === null ? ANYBODY : { kind: 'fault', refusal };
  }
  // Browsers ask before they may send a key.
  if (route.kind === 'options') return ANYBODY;
  if (route.kind === 'own' && !needsKey(route.route)) return ANYBODY;
  const authentication = keys.authenticate(head);
  return authentication.kind === 'fault'
    ? authentication
    : { kind: 'ok', principal: authentication.principal.name };
}
