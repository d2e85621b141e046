/** All checks of `doctor`, in the order in which they are told: what others depend on comes first. */
import type { Check } from './check.ts';
import { judgeDocker, judgeOomScore, judgeSurvival } from './judge-containers.ts';
import {
  judgeClock,
  judgeDisk,
  judgeInotify,
  judgeMemory,
  judgeNode,
  judgeOpenFiles,
  judgeProc,
  judgeProcesses,
  judgeState,
} from './judge-machine.ts';
import {
  judgeConfiguration,
  judgeDevices,
  judgeHubCache,
  judgeModels,
  judgePort,
  judgeSharedMemory,
  judgeToken,
  judgeVllm,
} from './judge-serving.ts';
import type { MachineFacts } from './machine-facts.ts';

export function diagnose(facts: MachineFacts): readonly Check[] {
  const { devices, devicesPerEngineMax, limits, models } = facts;
  return [
    judgeConfiguration(facts.configuration),
    judgeNode(facts),
    judgeProc(facts),
    ...judgeDocker(facts.docker, facts.wantsNvidia),
    ...judgeVllm(facts.vllm, facts.runtimeKind),
    judgeDevices(devices, devicesPerEngineMax, facts.docker),
    judgeSharedMemory(devices, devicesPerEngineMax),
    judgeMemory(facts.memory, facts.vllm.length > 0),
    ...facts.disks.map(judgeDisk),
    judgeHubCache(facts.hubCache),
    judgeModels(models, facts.hubToken.isOffline),
    judgeToken(models, facts.hubToken),
    judgeState(facts.state),
    judgeSurvival(facts),
    judgeOomScore(facts.service),
    judgePort(facts.port, facts.state.ownerPid),
    judgeOpenFiles(limits),
    judgeProcesses(limits),
    judgeInotify(limits),
    judgeClock(facts.clock),
  ];
}
