/** The daemon's words about a pull, as a failure that says what to do. Pure. */
import type { LaunchFailure } from './launch-failure.ts';
import { registryOf } from './registry-credentials.ts';

export function pullFailureOf(image: string, text: string): LaunchFailure {
  if (/no space left on device|disk quota exceeded/i.test(text)) {
    return {
      kind: 'failed',
      cause: 'resources',
      detail: `image ${image} does not fit on the disk of Docker's host (${text}): make room there (\`docker system df\`)`,
    };
  }
  if (RATE_LIMITED.test(text)) {
    return imageMissing(
      image,
      `cannot be pulled now: its registry limits how often (${text}). Run \`docker login ${registryShown(image)}\` as the user that runs the gateway, which raises the limit, or wait: it is tried again`,
    );
  }
  if (/access denied|unauthorized|authentication required|forbidden|denied:|no basic auth/i.test(text)) {
    return imageMissing(
      image,
      `cannot be pulled: it does not exist, or this Docker may not read it (${text}). Check \`runtime.docker.image\`, or run \`docker login ${registryShown(image)}\` as the user that runs the gateway`,
    );
  }
  if (
    /manifest unknown|manifest for .* not found|not found|does not exist|no matching manifest/i.test(text)
  ) {
    return imageMissing(image, `is not known to its registry (${text}): check its name and tag`);
  }
  if (
    /no such host|dial tcp|connection refused|timeout|timed out|TLS|x509|EOF|lookup|unreachable/i.test(text)
  ) {
    return imageMissing(
      image,
      `cannot be pulled: its registry cannot be reached (${text}). Check the network and the proxy of Docker's daemon, or load the image there by hand and set \`runtime.docker.pull: never\``,
    );
  }
  return imageMissing(image, `cannot be pulled: ${text}`);
}

/** 429 and its words; a registry's text may also say `denied` or that a login raises the limit. */
const RATE_LIMITED = /toomanyrequests|too many requests|rate limit|\b429\b/i;

function registryShown(image: string): string {
  const registry = registryOf(image);
  return registry.startsWith('https:') ? '' : registry;
}

export function imageMissing(image: string, what: string): LaunchFailure {
  return { kind: 'failed', cause: 'image_missing', detail: `image ${image} ${what}` };
}
