import type { Random } from './random.ts';
import { CURRENCIES, PRODUCTS, TENANTS } from './words.ts';

export interface ShopEvent {
  readonly eventType: string;
  /** JSON text. */
  readonly body: string;
}

const STEPS = ['order.created', 'order.paid', 'order.shipped', 'order.delivered'] as const;
const OPEN_ORDERS = 200;

interface Order {
  readonly id: string;
  readonly tenant: string;
  readonly currency: string;
  readonly lines: readonly { sku: string; title: string; quantity: number; cents: number }[];
  /** Index of the next step. */
  step: number;
}

/**
 * Orders of a web shop that serves several tenants; each order goes through its steps one event at a time.
 * @param runId makes the order numbers unique to this run.
 */
export function createShop(random: Random, runId: string): { next(nowMs: number): ShopEvent } {
  const open: Order[] = [];
  let count = 0;
  const newOrder = (): Order => {
    count += 1;
    const lines = Array.from({ length: 1 + random.int(3) }, () => ({
      ...random.pick(PRODUCTS),
      quantity: 1 + random.int(4),
    }));
    const order = {
      id: `${runId}-${count}`,
      tenant: random.pick(TENANTS),
      currency: random.pick(CURRENCIES),
      lines,
      step: 0,
    };
    open.push(order);
    return order;
  };
  return {
    next(nowMs) {
      const isNew = open.length === 0 || (open.length < OPEN_ORDERS && random.chance(0.4));
      const order = isNew ? newOrder() : random.pick(open);
      const eventType = STEPS[order.step] ?? 'order.created';
      order.step += 1;
      if (order.step === STEPS.length) open.splice(open.indexOf(order), 1);
      const total = order.lines.reduce((sum, { quantity, cents }) => sum + quantity * cents, 0);
      const body = JSON.stringify({
        type: eventType,
        tenant: order.tenant,
        // An event happened a little before its webhook arrives.
        occurred_at: new Date(nowMs - random.int(5_000)).toISOString(),
        order: { id: order.id, currency: order.currency, total_cents: total, lines: order.lines },
      });
      return { eventType, body };
    },
  };
}
