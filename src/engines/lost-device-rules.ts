/** How engines say that their devices are gone: the words are those of drivers, NVML, CUDA and ROCm. */
import type { DiagnosisRule } from './diagnosis-rules.ts';

/** Devices that went away, or that the engine never got. */
export const DEVICE_RULES: readonly DiagnosisRule[] = [
  {
    cause: 'device_lost',
    pattern: /driver\/library version mismatch|NVMLError_LibRmVersionMismatch|RM\/NVML version mismatch/i,
    retryable: true,
    whileServing: true,
    text: () =>
      "the GPUs' driver was updated under the running kernel module (driver/library version mismatch): reload the module or restart the host",
  },
  {
    cause: 'device_lost',
    pattern: /\bXid\b.*|GPU is lost.*|NVMLError_GpuIsLost.*|(?:GPU has )?fallen off the bus.*/,
    retryable: true,
    whileServing: true,
    text: (m) =>
      `a GPU failed or fell off the bus (${m[0]}): look for Xid in the kernel's log (\`dmesg\`); a reset of the GPU or a restart of the host may bring it back`,
  },
  {
    cause: 'device_lost',
    pattern:
      /Failed to initialize NVML: .*|NVMLError_(?:Unknown|NoPermission)\b.*|CUDA error: (?:no CUDA-capable device is detected|unknown error|invalid device ordinal).*|CUDA unknown error.*|HIP error: no ROCm-capable device is detected.*|No (?:CUDA|HIP) GPUs are available.*/,
    retryable: true,
    whileServing: true,
    text: (m) =>
      `it has lost its devices, or never got them (${m[0]}): a container loses them at \`systemctl daemon-reload\` and gets them back when it is started anew; if that does not help, run \`nvidia-smi\` on the host and \`vllm-gateway doctor\``,
  },
];
