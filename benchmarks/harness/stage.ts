import { type Contestant, ContestantProcess, type ProcessContext } from './contestant.ts';
import type { Arena, Environment } from './environment.ts';

/** A namespace of one run, and a contestant's processes on it. */
export interface Stage {
  readonly arena: Arena;
  /** Starts a process, in a new directory or in one that another had. */
  spawn(directory?: string): Promise<ContestantProcess>;
}

/** What is played: `label` names it to people. */
export type Play = Pick<ProcessContext, 'work' | 'checkpointMs'> & { readonly label: string };

/** Runs `play` in a namespace of its own; ends its processes and removes its topics afterwards, however it went. */
export async function onStage<T>(
  environment: Environment,
  contestant: Contestant,
  { label, ...context }: Play,
  play: (stage: Stage) => Promise<T>,
): Promise<T> {
  const { brokers, registryUrl } = environment;
  const arena = await environment.arena(label);
  const children: ContestantProcess[] = [];
  const spawn = async (directory?: string): Promise<ContestantProcess> => {
    const child = await ContestantProcess.spawn(
      contestant,
      { ...context, brokers, registryUrl },
      directory ?? (await environment.directory(label)),
    );
    children.push(child);
    return child;
  };
  try {
    return await play({ arena, spawn });
  } finally {
    await Promise.all(children.map((child) => child.end()));
    await arena.remove();
  }
}
