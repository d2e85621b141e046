/** The gateway's own side: its address, limits towards clients and engines, and its log. */
import * as z from 'zod';
import { builtInOf, field } from './field.ts';
import { duration, integer, oneOf, text } from './leaf.ts';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export const serverSchema = z.strictObject(
  {
    host: field(text('a host name or IP address'), {
      effect: "Address to listen on. Under the original's environment it is 0.0.0.0, as in its container.",
      default: '127.0.0.1',
      danger:
        'Any other than a loopback address opens the models to the network: it needs `api_keys_file`, or `auth: none` on purpose.',
      flag: '--host',
    }),
    port: field(integer(0, 65_535), {
      effect: 'Port to listen on. 0: any free one.',
      default: 9000,
      flag: '--port',
    }),
    auth: field(oneOf(['keys', 'none']), {
      effect:
        '`keys`: every request needs a key of `api_keys_file`. `none`: nobody needs one, on whatever address.',
      otherwise:
        "`keys` with `api_keys_file`; without it none is asked, and only a loopback address is accepted (the original's environment counts as `none`, with a warning)",
      danger: '`none` on a public address lets everybody use the models.',
      flag: '--auth',
    }),
    api_keys_file: field(text('the path of a file'), {
      effect: 'File of API keys, one a line; relative to the configuration file.',
      flag: '--api-keys-file',
    }),
    body_limit_mib: field(integer(1, 4096), {
      effect: 'Largest request body; a larger one gets 413.',
      default: 64,
      unit: 'MiB',
      danger: 'Bodies are held in memory while they wait.',
    }),
    audio_body_limit_mib: field(integer(1, 16_384), {
      effect: 'Largest body of audio uploads (multipart).',
      default: 512,
      unit: 'MiB',
    }),
    body_memory_mib: field(integer(1, 1_048_576), {
      effect: 'Largest sum of all request bodies that wait or are being sent; beyond it new ones get 503.',
      default: 2048,
      unit: 'MiB',
    }),
    header_limit_kib: field(integer(1, 1024), {
      effect: 'Largest sum of request headers; more gets 431.',
      default: 32,
      unit: 'KiB',
    }),
    headers_timeout: field(duration(), {
      effect: 'Time in which a client must have sent its headers.',
      default: 30,
      unit: 's',
    }),
    request_timeout: field(duration(), {
      effect: 'Time in which a client must have sent its whole request; at least `headers_timeout`.',
      default: 300,
      unit: 's',
    }),
    keep_alive_timeout: field(duration(), {
      effect: 'How long an idle client connection stays open.',
      default: 75,
      unit: 's',
      danger:
        'Shorter than the idle limit of a balancer in front, and some of its requests meet a closed connection.',
    }),
    client_stall_timeout: field(duration(), {
      effect: 'A client that accepts no byte for this long, while data waits for it, is cut.',
      default: 60,
      unit: 's',
    }),
    connect_timeout: field(duration(), {
      effect: 'Time to connect to an engine.',
      default: 10,
      unit: 's',
      environment: ['GATEWAY_CONNECT_TIMEOUT'],
    }),
    engine_timeout: field(duration(), {
      effect:
        'Longest silence of an engine before its first byte and between bytes; then the request ends with 504.',
      default: 300,
      unit: 's',
      danger: 'Long answers without streaming are silent until they are complete: raise it for them.',
      environment: ['GATEWAY_REQUEST_TIMEOUT', 'GATEWAY_HTTP_TIMEOUT'],
    }),
    shutdown_delay: field(duration({ zero: true }), {
      effect:
        'After SIGTERM: how long requests are still accepted while /ready answers 503, so that balancers look away first.',
      default: 5,
      unit: 's',
    }),
    shutdown_drain: field(duration({ zero: true }), {
      effect: 'After `shutdown_delay`: how long running requests may finish.',
      default: 120,
      unit: 's',
    }),
  },
  { error: 'a mapping of server keys' },
);

export const serverBuiltIn = builtInOf(serverSchema.omit({ auth: true, api_keys_file: true }));

export const logSchema = z.strictObject(
  {
    level: field(oneOf(LOG_LEVELS), {
      effect: 'Least important lines that are logged.',
      default: 'info',
      environment: ['LOG_LEVEL'],
      flag: '--log-level',
    }),
  },
  { error: 'a mapping of log keys' },
);

export const logBuiltIn = builtInOf(logSchema);
