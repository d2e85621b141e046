/** The gateway's own side: its address, limits towards clients and engines, and its log. */
import * as z from 'zod';
import { builtInOf, field } from './field.ts';
import { duration, integer, oneOf, text, textMatching, wordListOf } from './leaf.ts';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** As browsers send it: no path, no closing slash. */
const ORIGIN = /^https?:\/\/[^\s/?#@]+$/;

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
    socket: field(text('the path of a Unix socket'), {
      effect:
        'Unix socket to listen on as well, in plain HTTP; relative to the configuration file. Its owner and group may open it, and keys are asked as on the port. One that a dead gateway left is replaced.',
    }),
    tls_cert: field(text('the path of a file'), {
      effect:
        'PEM file of the certificate and its chain: then `port` speaks HTTPS (TLS 1.2 or later). Read again when it changes; files that cannot be used then change nothing. Needs `tls_key`.',
    }),
    tls_key: field(text('the path of a file'), {
      effect: 'PEM file of the private key of `tls_cert`. Read again when it changes.',
    }),
    trusted_hops: field(integer(0, 16), {
      effect:
        'Reverse proxies of ours in front. The client is taken from `X-Forwarded-For`, so many addresses from its end; engines get `X-Forwarded-For`, `-Proto` and `-Host` accordingly. 0: these headers of clients are not believed.',
      default: 0,
      danger: 'More than there are, and clients can claim any address.',
    }),
    cors_origins: field(wordListOf(textMatching(ORIGIN, 'an origin as https://host or http://host:port')), {
      effect: 'Origins whose web pages may use the gateway, each spelled exactly as browsers send it.',
      default: [],
      danger: 'Every page of such an origin can use the models with the keys that it has.',
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
    body_spool_mib: field(integer(1, 16_777_216), {
      effect:
        "Largest sum of all forms and other uploads over 1 MiB that wait or are being sent, in files without a name in the system's temporary directory (`TMPDIR`); beyond it new ones get 503. At least `audio_body_limit_mib`.",
      default: 4096,
      unit: 'MiB',
      danger: 'Where the temporary directory is in memory (tmpfs), they take memory.',
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
    upload_rate_min: field(integer(0, 1_000_000_000), {
      effect:
        'Least average rate at which a body must come, counted from 10 s after its head on; a slower one gets 408. 0: none.',
      default: 256,
      unit: 'bytes/s',
    }),
    queue_timeout_max: field(duration(), {
      effect: 'Longest wait that a client may ask for with `X-Queue-Timeout`; more counts as this.',
      default: 7200,
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
        'Longest silence of an engine before its first byte and between bytes, for models that set neither `first_byte_timeout` nor `stream_idle_timeout`.',
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

export const serverBuiltIn = builtInOf(
  serverSchema.omit({ auth: true, api_keys_file: true, socket: true, tls_cert: true, tls_key: true }),
);

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
