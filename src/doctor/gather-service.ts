/** Who would end our engines along with us: a container, a unit of systemd, the kernel when memory runs out. */
import { accessSync, constants, readFileSync } from 'node:fs';
import type { Environment } from '../config/environment.ts';
import { createToolRunner } from '../devices/run-tool.ts';
import type { ServiceFacts } from './machine-facts.ts';

const SYSTEMCTL_LIMIT_MS = 5_000;
const PROPERTIES = ['KillMode', 'OOMPolicy', 'Delegate'] as const;

/** `pid`: the gateway that is looked at; null: this process stands for it. */
export async function serviceFacts(
  pid: number | null,
  isContainer: boolean,
  environment: Environment,
): Promise<ServiceFacts> {
  const process = pid ?? 'self';
  const named = unitOf(textOf(`/proc/${process}/cgroup`) ?? '');
  const score = textOf(`/proc/${process}/oom_score_adj`)?.trim() ?? '';
  return {
    isContainer,
    unit: named === null ? null : await unitFacts(named, environment),
    oomScoreAdj: /^-?\d+$/.test(score) ? Number(score) : null,
    isOomScoreWritable: isWritable('/proc/self/oom_score_adj'),
  };
}

interface NamedUnit {
  readonly name: string;
  /** Of the user's own manager. */
  readonly isUsers: boolean;
}

/** The service that a text of /proc/PID/cgroup names; null in a session or a scope. */
export function unitOf(cgroups: string): NamedUnit | null {
  for (const line of cgroups.split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers !== '' && controllers !== 'name=systemd') continue;
    const parts = path.split('/').filter((part) => /\.(service|scope)$/.test(part));
    const last = parts.at(-1);
    // A terminal on a desktop runs in a scope below the user's manager, which is a service itself.
    if (last === undefined || last.endsWith('.scope') || last.startsWith('user@')) continue;
    return { name: last, isUsers: parts.some((part) => part.startsWith('user@')) };
  }
  return null;
}

async function unitFacts(unit: NamedUnit, environment: Environment): Promise<ServiceFacts['unit']> {
  const scope = unit.isUsers ? ['--user'] : [];
  const command = ['systemctl', ...scope, 'show', '-p', PROPERTIES.join(','), '--', unit.name];
  const ran = await createToolRunner(environment)(command, SYSTEMCTL_LIMIT_MS);
  const text = ran.kind === 'exited' && ran.code === 0 ? ran.stdout : '';
  const [killMode, oomPolicy, delegate] = PROPERTIES.map((name) => propertyOf(text, name));
  return {
    name: unit.name,
    killMode: killMode ?? null,
    oomPolicy: oomPolicy ?? null,
    delegate: delegate ?? null,
  };
}

function propertyOf(text: string, name: string): string | null {
  return new RegExp(`^${name}=(.+)$`, 'm').exec(text)?.[1] ?? null;
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
