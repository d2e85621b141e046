/** A tool that this machine may lack, with a stand-in that is opened when it does. */
import type { RunTool } from './run-tool.ts';
import type { StreamTool } from './tool-stream.ts';

export interface DeviceTools {
  readonly run: RunTool;
  readonly stream: StreamTool;
}

/** Null: there is no stand-in either. Asked once. */
export type OpenTools = () => Promise<DeviceTools | null>;

/** The tool of this machine; once it was missing, the stand-in. A stream comes after a run, and takes what that one took. */
export function withFallback(local: DeviceTools, open: OpenTools): DeviceTools {
  let opened: Promise<DeviceTools | null> | null = null;
  let standIn: DeviceTools | null = null;
  return {
    async run(argv, timeLimitMs, signal) {
      if (opened === null) {
        const result = await local.run(argv, timeLimitMs, signal);
        if (result.kind !== 'missing') return result;
        opened = open();
      }
      standIn = await opened;
      return (standIn ?? local).run(argv, timeLimitMs, signal);
    },
    stream: (argv, handlers) => (standIn ?? local).stream(argv, handlers),
  };
}
