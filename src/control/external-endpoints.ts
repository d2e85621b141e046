/** Endpoints of servers that others run: there from the start, with the key and headers that their owner wants. */
import type { ResolvedModel, ServerConfig } from '../config/resolved-config.ts';
import type { ModelName } from '../core/ids.ts';
import { POOL_SPARE_CONNECTIONS } from '../core/limits.ts';
import type { Engine } from '../engines/engine.ts';
import type { Endpoint, EndpointOptions } from '../proxy/endpoint-types.ts';
import { poolIdleMs } from './launch-ports.ts';

/** One endpoint for each model with a `url`; nothing is connected before the first request. */
export function openExternalEndpoints(
  models: Iterable<ResolvedModel>,
  server: Pick<ServerConfig, 'connectTimeoutMs'>,
  engineOf: (model: ResolvedModel) => Engine,
  open: (model: ModelName, options: EndpointOptions) => Endpoint,
): Map<ModelName, Endpoint> {
  const endpoints = new Map<ModelName, Endpoint>();
  for (const model of models) {
    if (model.url === null) continue;
    const { apiKey, headers, baseUrl } = model.url;
    const authorization = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
    const options: EndpointOptions = {
      address: { kind: 'url', baseUrl },
      connectionsMax: model.maxConcurrent + POOL_SPARE_CONNECTIONS,
      keepAliveMs: poolIdleMs(engineOf(model)),
      connectTimeoutMs: server.connectTimeoutMs,
      firstByteTimeoutMs: model.firstByteTimeoutMs,
      streamIdleTimeoutMs: model.streamIdleTimeoutMs,
      headers: { ...authorization, ...headers },
      pathPrefix: new URL(baseUrl).pathname.replace(/\/+$/, ''),
    };
    endpoints.set(model.name, open(model.name, options));
  }
  return endpoints;
}
