/** Endpoints for tests: limits that nobody meets who does not ask for others. */
import type { TestContext } from 'node:test';
import { createEndpoint } from '../../src/proxy/endpoint.ts';
import type { Endpoint, EndpointOptions } from '../../src/proxy/endpoint-types.ts';
import { FakeEngine } from './fake-engine.ts';

export function endpointAt(
  address: EndpointOptions['address'],
  options: Partial<Omit<EndpointOptions, 'address'>> = {},
): Endpoint {
  return createEndpoint({
    address,
    connectionsMax: 4,
    keepAliveMs: 60_000,
    connectTimeoutMs: 5_000,
    firstByteTimeoutMs: 60_000,
    streamIdleTimeoutMs: 60_000,
    headers: {},
    pathPrefix: '',
    ...options,
  });
}

/** On loopback. */
export function endpointOnPort(
  port: number,
  options: Partial<Omit<EndpointOptions, 'address'>> = {},
): Endpoint {
  return endpointAt({ kind: 'tcp', host: '127.0.0.1', port }, options);
}

/** An engine that listens, and an endpoint at it; both end with the test. */
export async function engineWithEndpoint(
  context: TestContext,
  options: Partial<Omit<EndpointOptions, 'address'>> = {},
): Promise<{ readonly engine: FakeEngine; readonly endpoint: Endpoint }> {
  const engine = new FakeEngine();
  const endpoint = endpointOnPort(await engine.listen(), options);
  context.after(async () => {
    endpoint.destroy(new Error('over'));
    await engine.die();
  });
  return { engine, endpoint };
}
