/**
 * The whole configuration file. This schema is the one source of the types below, of schema/models.schema.json and of
 * docs/configuration.md (both made by tools/generate-config-docs.ts), and of every built-in default.
 */
import * as z from 'zod';
import { allowing, field, requiredField } from './field.ts';
import { jsonObject, text } from './leaf.ts';
import { deviceId, devicesSchema, schedulingSchema } from './schema-devices.ts';
import { defaultsSchema, modelSchema } from './schema-model.ts';
import { activitySchema, runtimeSchema } from './schema-runtime.ts';
import { logSchema, serverSchema } from './schema-server.ts';

const NAME_TEXT = 'a name of 1 to 256 printable characters without white space';
// The published pattern must mean the same to editors, which read it with and without Unicode mode.
const nameSchema = z.string().regex(/^(?!.*\s)[!-~\u00a1-\uffff]{1,256}$/, { error: NAME_TEXT });

export const aliasSchema = z.strictObject(
  {
    model: requiredField(text('the name of a model'), { effect: 'The model that is meant.' }),
    request_defaults: field(jsonObject(), {
      effect: "Merged under each request by this alias, over the model's own `request_defaults`.",
      default: {},
    }),
  },
  { error: 'the name of a model, or a mapping with `model`' },
);

const aliasText = 'the name of a model, or a mapping with `model`';
const deviceList = z.array(deviceId(), { error: 'a list of device ids' });

export const configSchema = z.strictObject(
  {
    pools: field(
      allowing(
        z.record(nameSchema, deviceList.min(1, { error: 'at least one device id' }), {
          error: 'a mapping from pool name to a list of device ids',
        }),
        'a mapping from pool name to a list of device ids',
      ),
      {
        effect: 'Named groups of devices (GPU UUIDs). Devices in no pool are not used once there are pools.',
        otherwise: 'one pool of all devices',
        environment: ['GATEWAY_GPU_UUID'],
      },
    ),
    defaults: field(defaultsSchema, { effect: 'Values for every model that does not give its own.' }),
    models: requiredField(
      z.record(nameSchema, modelSchema, { error: 'a mapping from model name to its keys' }),
      {
        effect: 'The models by the names that clients use. At least one.',
      },
    ),
    aliases: field(
      allowing(
        z.record(nameSchema, z.union([text(aliasText), aliasSchema], { error: aliasText }), {
          error: 'a mapping from alias to model',
        }),
        'a mapping from alias to model',
      ),
      {
        effect:
          'Other names of models: exact, or with `*` and `?`. Exact names win over patterns, and patterns are tried in order.',
      },
    ),
    default_model: field(text('the name of a model'), {
      effect: 'Model for requests that name none.',
      otherwise: 'such requests are refused',
    }),
    server: field(serverSchema, { effect: "The gateway's own address and limits." }),
    runtime: field(runtimeSchema, { effect: 'Where engines run and what is kept of them.' }),
    devices: field(devicesSchema, { effect: 'The devices that models share.' }),
    scheduling: field(schedulingSchema, { effect: 'How models share the devices.' }),
    activity: field(activitySchema, { effect: 'What is kept of finished requests.' }),
    log: field(logSchema, { effect: "The gateway's own log." }),
  },
  { error: 'a mapping with `models`' },
);

export type RawConfig = z.output<typeof configSchema>;

/** Values that the environment or the command line give, in the shape of the file. */
export const layerSchema = configSchema.omit({ models: true, aliases: true, default_model: true });
export type RawLayer = z.output<typeof layerSchema>;

/** JSON Schema (draft 7, which editors know) of what a file may contain, before parsing. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' });
  return { ...schema, title: 'vllm-gateway configuration' };
}
