/** Names and identities that cross folders. They are plain strings and numbers so that events and effects stay serialisable. */

/** A model as the configuration names it (aliases are resolved before anything below the front sees a name). */
export type ModelName = string;

/** One per admitted request, unique within a gateway's life; the client-visible X-Request-Id is apart. */
export type RequestId = number;

/** One per engine launch, unique for ever: `<base36 time>-<random>`; carried by every process of that engine. */
export type LaunchId = string;

/** A GPU's UUID, a simulated device's id, or `host` for host memory. */
export type DeviceId = string;

/** What a client may choose as its own X-Request-Id; anything else is replaced by ours. */
export const CLIENT_REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** A launch id as found in an engine's environment; checked before it is used in a path. */
export const LAUNCH_ID = /^[a-z0-9]{1,16}-[a-z0-9]{1,16}$/;
