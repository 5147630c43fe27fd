import { z } from 'zod';

/** What a worker tells its supervisor, and `reachflow run` the process that started it over IPC. */
const messageSchema = z.discriminatedUnion('type', [
  /** It takes input and its tasks run. */
  z.object({
    type: z.literal('ready'),
    webhookUrl: z.string().optional(),
    /** Where its health, metrics and status are. */
    observabilityUrl: z.string().optional(),
  }),
  /** It finishes what it has begun and ends, for a successor to take over. */
  z.object({ type: z.literal('draining'), reason: z.string() }),
  /** Why it ends. */
  z.object({
    type: z.literal('failed'),
    code: z.string(),
    message: z.string(),
    domain: z.enum(['user', 'external', 'internal']),
    hint: z.string().optional(),
  }),
  /** The supervisor's workers, after each change. */
  z.object({
    type: z.literal('workers'),
    workers: z.array(
      z.object({ worker: z.int(), pid: z.int().optional(), phase: z.string(), restarts: z.int() }),
    ),
  }),
]);

export type ProcessMessage = z.output<typeof messageSchema>;

/** A message of ours; undefined for anything else that comes through the channel. */
export function parseMessage(message: unknown): ProcessMessage | undefined {
  const parsed = messageSchema.safeParse(message);
  return parsed.success ? parsed.data : undefined;
}

/** Tells the process that started this one over IPC, if one did. Resolves once it is written, or cannot be. */
export function tellParent(message: ProcessMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    // A parent that is gone hears nothing; its end arrives as `disconnect`.
    else process.send(message, undefined, {}, () => resolve());
  });
}
