import { createInterface } from 'node:readline';
import { z } from 'zod';

/** A consumer group and a topic that it reads, without the namespace. */
const readSchema = z.object({ group: z.string(), topic: z.string() });

/** What a contestant answers on standard output, a line each. */
export const answerSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('started'),
    /** Upstream first: the work is done when each is read to its end. */
    reads: z.array(readSchema).readonly(),
    figures: z.record(z.string(), z.number()).readonly(),
  }),
  z.object({ event: z.literal('finished') }),
]);

export type Read = z.infer<typeof readSchema>;
export type Answer = z.infer<typeof answerSchema>;
export type Started = Extract<Answer, { event: 'started' }>;

/** Where a run reads and writes. Schema ids are given, so that a contestant needs no registry. */
export interface RunNamespace {
  readonly name: string;
  readonly eventSchemaId: number;
  readonly countSchemaId: number;
}

/** The work of a contestant, begun and ended by the harness. */
export interface Work {
  /** Begins to work on the topics of a namespace. Returns when all tasks run. */
  start(namespace: RunNamespace): Promise<Omit<Started, 'event'>>;
  /** Ends what `start` began: all of it committed, nothing left running. */
  finish(): Promise<void>;
}

export function startCommand({ name, eventSchemaId, countSchemaId }: RunNamespace): string {
  return `start ${name} ${eventSchemaId} ${countSchemaId}`;
}

async function answer(work: Work, words: readonly string[]): Promise<Answer> {
  const [command, name = '', eventSchemaId, countSchemaId] = words;
  switch (command) {
    case 'start': {
      const ids = { eventSchemaId: Number(eventSchemaId), countSchemaId: Number(countSchemaId) };
      return { event: 'started', ...(await work.start({ name, ...ids })) };
    }
    case 'finish':
      await work.finish();
      return { event: 'finished' };
    default:
      throw new Error(`no such command: ${command}`);
  }
}

/**
 * The contestant's side, the same as the peers': commands on standard input, a line each, until it ends.
 * A throw is a crash: the harness shows what is on standard error.
 */
export async function serve(work: Work): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(work, line.trim().split(' ')))}\n`);
  }
  process.exit(0);
}
