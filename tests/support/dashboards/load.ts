import { VERSION_HEADER } from '../../../runtime/delivery/decode.ts';
import type { OwnedPublisher } from '../../../runtime/kafka/batching-publisher.ts';
import type { Contact, EnrichmentCompleted, WebhookReceived } from '../../../schemas/types.ts';
import type { Random } from '../trial/random.ts';

const MINUTE = 60_000;
const TENANTS = ['acme', 'initech', 'umbrella'];
const CONTACTS = 60;
const BATCH = 50;
/** Event time spreads over two hours; some is out of order by ten minutes. */
const SPAN_MS = 120 * MINUTE;
const DISORDER_MS = 10 * MINUTE;
const VERY_LATE_MS = 2 * 86_400_000;

/** What dashboards are made of, as the seed decides: repeated, out of order, late, wrong. */
export class DashboardLoad {
  readonly #publisher: OwnedPublisher;
  readonly #random: Random;
  readonly #start: number;
  readonly #sent: WebhookReceived[] = [];
  readonly #versions = new Map<string, bigint>();

  constructor(publisher: OwnedPublisher, random: Random, start: number) {
    this.#publisher = publisher;
    this.#random = random;
    this.#start = start;
  }

  /** A share of it, from and to a part of the time. */
  async publish(records: number, from: number, to: number): Promise<void> {
    const sending: Promise<void>[] = [];
    for (let i = 0; i < records; i += 1) {
      const at = this.#start + Math.floor((from + ((to - from) * i) / records) * SPAN_MS);
      const time = at - (this.#one(5) ? this.#random.int(0, DISORDER_MS) : 0);
      sending.push(this.#webhook(time));
      if (i % 3 === 0) sending.push(this.#contact(time));
      if (i % 4 === 0) sending.push(this.#enrichment(time));
      if (sending.length > BATCH) await Promise.all(sending.splice(0));
    }
    await Promise.all(sending);
  }

  #one(of: number): boolean {
    return this.#random.int(1, of) === 1;
  }

  #tenant(): string {
    return TENANTS[this.#random.int(0, TENANTS.length - 1)] ?? '';
  }

  async #webhook(at: number): Promise<void> {
    const again = this.#sent[this.#random.int(0, Math.max(0, this.#sent.length - 1))];
    const value = this.#one(8) && again !== undefined ? again : this.#newWebhook(at);
    const key = `${value.tenant_id}:${value.entity_id}`;
    await this.#publisher.publish('webhook.received', { key, value, timestamp: value.received_at });
  }

  #newWebhook(at: number): WebhookReceived {
    const isCall = this.#one(2);
    const isBroken = this.#one(12);
    const body = isCall
      ? { duration_ms: this.#random.int(0, 4_000) / 10 }
      : { n: this.#sent.length };
    const value: WebhookReceived = {
      event_id: `app:${this.#sent.length}`,
      tenant_id: this.#tenant(),
      source: 'app',
      event_type: isCall ? 'api.called' : 'login',
      delivery_id: String(this.#sent.length),
      entity_id: `user-${this.#random.int(1, 12)}`,
      occurred_at: this.#one(30) ? at - VERY_LATE_MS : at,
      received_at: at + this.#random.int(0, 2_000),
      payload: isBroken ? '{' : JSON.stringify(body),
    };
    this.#sent.push(value);
    return value;
  }

  /** A version of a contact, the same again, or its deletion. */
  async #contact(timestamp: number): Promise<void> {
    const id = String(this.#random.int(1, CONTACTS));
    const known = this.#versions.get(id) ?? 0n;
    const version = known > 0n && this.#one(8) ? known : known + 1n;
    this.#versions.set(id, version);
    if (this.#one(15)) {
      const headers = { [VERSION_HEADER]: String(version) };
      const record = { topic: 'contact.golden', key: id, value: null, headers, timestamp };
      return this.#publisher.publishRaw(record);
    }
    const tenant = TENANTS[Number(id) % TENANTS.length] ?? '';
    const value: Contact = {
      ...{ id, tenant_id: tenant, full_name: `Person ${id}`, email: `p${id}@example.com` },
      ...{ phone: null, company_id: null, company: null, company_domain: null, industry: null },
      ...{ tags: [], score: null, created_at: timestamp, updated_at: timestamp, version },
    };
    await this.#publisher.publish('contact.golden', { key: id, value, timestamp });
  }

  async #enrichment(completed_at: number): Promise<void> {
    const contact_id = String(this.#random.int(1, CONTACTS));
    const outcome = ['found', 'found', 'not_found', 'failed'][this.#random.int(0, 3)] ?? '';
    const cached = this.#one(3);
    const value: EnrichmentCompleted = {
      ...{ tenant_id: this.#tenant(), contact_id, provider: 'company', outcome, cached },
      ...{ duration_ms: cached ? 0 : 30, completed_at },
    };
    const record = { key: contact_id, value, timestamp: completed_at };
    await this.#publisher.publish('enrichment.completed', record);
  }
}
