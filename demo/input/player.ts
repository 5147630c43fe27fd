import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from './deliveries.ts';
import { Pace } from './pace.ts';
import type { PostgresWriter } from './postgres-writer.ts';
import type { RowChange } from './rows.ts';
import type { WebhookSender } from './sender.ts';
import type { Workload } from './workload.ts';

export interface PlayerOptions {
  readonly sender: WebhookSender;
  readonly deliveries: { next(nowMs: number): Delivery };
  readonly writer: PostgresWriter;
  readonly workload: Workload;
  /** Webhooks and row changes together, per second. */
  readonly rate: number;
  /** Ends the input. */
  readonly signal: AbortSignal;
}

/** Share of the rate that webhooks have; the rest are row changes. */
const WEBHOOK_SHARE = 0.6;
const TICK_MS = 25;
/** Actions of the application that share one transaction, at most. */
const MAX_ACTIONS = 20;
/** At most so many actions in one tick, whatever the rate. */
const MAX_ACTIONS_PER_TICK = 500;

/**
 * Plays webhooks and row changes at a steady rate until the signal; then waits for what is under way.
 * @throws ReachflowError `SOURCE_UNAVAILABLE`, with both kinds of input stopped.
 */
export async function play(options: PlayerOptions): Promise<void> {
  const failed = new AbortController();
  const both = { ...options, signal: AbortSignal.any([options.signal, failed.signal]) };
  const guard = (input: Promise<void>) =>
    input.catch((error: unknown) => {
      failed.abort();
      throw error;
    });
  const results = await Promise.allSettled([guard(playWebhooks(both)), guard(playRows(both))]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function playWebhooks({ sender, deliveries, rate, signal }: PlayerOptions): Promise<void> {
  const pace = new Pace(rate * WEBHOOK_SHARE, performance.now());
  while (!signal.aborted) {
    const now = Date.now();
    let due = Math.min(pace.due(performance.now()), sender.room);
    due -= sender.sendRepeats(now, due);
    for (; due > 0; due -= 1) sender.send(deliveries.next(now), now);
    await pause(signal);
  }
  await sender.drain();
}

async function playRows({ writer, workload, rate, signal }: PlayerOptions): Promise<void> {
  const pace = new Pace(rate * (1 - WEBHOOK_SHARE), performance.now());
  while (!signal.aborted) {
    let due = Math.min(pace.due(performance.now()), MAX_ACTIONS_PER_TICK);
    while (due > 0) {
      const changes: RowChange[] = [];
      for (let action = Math.min(due, MAX_ACTIONS); action > 0; action -= 1, due -= 1) {
        changes.push(...workload.next(Date.now()));
      }
      await writer.apply(changes);
    }
    await pause(signal);
  }
}

async function pause(signal: AbortSignal): Promise<void> {
  await sleep(TICK_MS, undefined, { signal }).catch(() => undefined);
}
