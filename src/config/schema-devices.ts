/** The devices and how they are shared. */
import * as z from 'zod';
import { allowing, builtInOf, field, requiredField } from './field.ts';
import { duration, fraction, oneOf, size, textMatching, wordList } from './leaf.ts';

/** Ids are joined by commas where engines are told of their devices. */
export const deviceId = () => textMatching(/^[^\s,]+$/, 'a device id without white space and commas');

const simulatedDevice = z.strictObject(
  {
    id: requiredField(deviceId(), { effect: 'Id of the simulated device.' }),
    memory_mib: requiredField(size(), { effect: 'Its memory.', unit: 'MiB' }),
  },
  { error: 'a mapping with `id` and `memory_mib`' },
);

const simulatedText = 'a list of mappings with `id` and `memory_mib`';
const limitText = 'an amount of memory, or a mapping from device id (`*` for all others) to one';

export const devicesSchema = z.strictObject(
  {
    source: field(oneOf(['auto', 'nvidia', 'amd', 'simulated', 'host']), {
      effect:
        'What devices there are: NVIDIA cards, AMD cards (by documented formats, never tried on one), the listed simulated ones, or the memory of this host. `auto`: the simulated ones if any are listed, else NVIDIA cards if the tool finds any, else host memory.',
      default: 'auto',
      flag: '--devices',
    }),
    simulated: field(allowing(z.array(simulatedDevice, { error: simulatedText }), simulatedText), {
      effect: 'Simulated devices, for trying and testing.',
      default: [],
    }),
    memory_limit_mib: field(
      allowing(
        z.union([size(), z.record(z.string(), size(), { error: limitText })], { error: limitText }),
        limitText,
      ),
      {
        effect: 'Upper limit of memory to use, for every device or by device id.',
        otherwise: 'no limit',
        unit: 'MiB',
      },
    ),
    budget_fraction: field(fraction(0, 1), {
      effect: "Share of each device's memory that models may reserve.",
      default: 0.95,
      danger: 'At 1 nothing is left for the context of the driver and for other programs.',
      environment: ['GPU_BUDGET_FRACTION'],
    }),
    host_memory_mib: field(size(), {
      effect: 'Host memory that engines of the gateway may use in all, those that sleep in it included.',
      otherwise: 'what `host_memory_floor_mib` leaves of the free memory',
      unit: 'MiB',
    }),
    host_memory_floor_mib: field(size({ zero: true }), {
      effect:
        'Host memory that stays free: before an engine would go below it, a sleeping one is stopped, or an engine is stopped rather than put to sleep.',
      default: 4096,
      unit: 'MiB',
      danger: 'Too small, and the system ends processes for want of memory.',
    }),
    simulated_host_memory_mib: field(size(), {
      effect: 'Host memory of a machine with simulated devices.',
      default: 262_144,
      unit: 'MiB',
    }),
    nvidia_smi: field(wordList({ least: 1 }), {
      effect: 'The program (and its first arguments) that tells of NVIDIA cards.',
      default: ['nvidia-smi'],
    }),
    amd_smi: field(wordList({ least: 1 }), {
      effect:
        'The program (and its first arguments) that tells of AMD cards: `amd-smi`, or one that is called `rocm-smi`.',
      default: ['amd-smi'],
    }),
  },
  { error: 'a mapping of device keys' },
);

export const simulatedDeviceSchema = simulatedDevice;

export const devicesBuiltIn = builtInOf(
  devicesSchema.omit({ memory_limit_mib: true, host_memory_mib: true }),
);

export const schedulingSchema = z.strictObject(
  {
    placement_mode: field(oneOf(['whole_card', 'budget']), {
      effect:
        '`whole_card`: a model without `memory_mib` and `colocate` has its devices to itself. `budget`: models share devices by what they need, as far as the budget reaches.',
      default: 'whole_card',
      environment: ['PLACEMENT_MODE'],
    }),
    switch_share: field(fraction(0, 0.9), {
      effect:
        'Share of device time that switching between busy models may take. A turn lasts at least `switch cost x (1 - share) / share`.',
      default: 0.2,
      danger: 'Small: long waits for the other models. Large: much of the device goes into loading.',
    }),
    min_residence: field(duration({ zero: true }), {
      effect: "A loaded model keeps its devices at least this long. 90 under the original's environment.",
      default: 0,
      unit: 's',
      environment: ['GATEWAY_MIN_RESIDENT_SECONDS'],
    }),
    linger_max: field(duration({ zero: true }), {
      effect:
        'Longest time that a model whose queue has run empty keeps its turn, in the hope of the next request, while others wait.',
      default: 30,
      unit: 's',
    }),
    budget_overhead_factor: field(fraction(1, 10, true), {
      effect:
        'Budget mode: a model whose memory was not measured yet is reckoned at (weights + KV cache) x this + `budget_overhead_mib` on each device.',
      default: 1.1,
      danger: 'Too small, and the first launch runs out of memory.',
      environment: ['BUDGET_OVERHEAD_FACTOR'],
    }),
    budget_overhead_mib: field(size({ zero: true }), {
      effect: 'Budget mode: what is added on each device for the context of the driver, graphs and buffers.',
      default: 1024,
      unit: 'MiB',
      environment: ['BUDGET_OVERHEAD_MIB'],
    }),
    colocate_margin_mib: field(size({ zero: true }), {
      effect:
        'whole_card mode: a model with `colocate` is reckoned at weights x `colocate_weight_overhead` + KV cache + this.',
      default: 1024,
      unit: 'MiB',
      environment: ['COLOCATE_MARGIN_MIB'],
    }),
    colocate_max_share: field(fraction(0, 1), {
      effect:
        'whole_card mode: share of a card up to which a model with `colocate` may take part of it; a larger one has the card to itself.',
      default: 0.9,
      environment: ['COLOCATE_MAX_SHARE'],
    }),
    colocate_weight_overhead: field(fraction(1, 10, true), {
      effect: 'whole_card mode: factor on the weights of a model with `colocate`.',
      default: 1.15,
      environment: ['COLOCATE_WEIGHT_OVERHEAD'],
    }),
  },
  { error: 'a mapping of scheduling keys' },
);

export const schedulingBuiltIn = builtInOf(schedulingSchema);
