import { VERSION_HEADER } from '../../../runtime/delivery/decode.ts';
import type {
  ProcessContext,
  Processor,
  ProcessSpec,
} from '../../../runtime/operators/process-api.ts';
import { keyValueStore, textSerde } from '../../../runtime/state/contract.ts';
import { drop, type NotOk } from '../../../runtime/topology/outcome.ts';
import type { StreamRecord } from '../../../runtime/topology/record.ts';
import type { Contact, ContactScored } from '../../../schemas/types.ts';
import { featureIndex, featureNames } from '../model/features.ts';
import { ACTIVE_MODEL, type Model, models, scoreOf } from '../model/scoring-model.ts';
import { ActiveModel, modelStore } from './active-model.ts';
import type { Activity } from './activity.ts';
import {
  contactKey,
  contactStore,
  copyOf,
  newContact,
  partsOfKey,
  type ScoredContact,
  tenantStore,
} from './scored-contact.ts';
import { type Traits, traitNames, traitsOf } from './traits.ts';

/** What a contact did, or what it is now: null when it was deleted. */
export type ScoreInput =
  | { readonly kind: 'activity'; readonly activity: Activity }
  | { readonly kind: 'golden'; readonly contact: Contact | null };

/** Events of a contact that nobody knows are kept for so long, ms of event time. */
export const UNKNOWN_CONTACT_MS = 7 * 86_400_000;
/** After another model was published: how often a task scores some of its contacts again, ms, and how many at most. */
export const SWEEP_EVERY_MS = 250;
export const SWEEP_CONTACTS = 2_000;
/** Contacts that a sweep looks at in one go: those that need no new score are passed over. */
const SWEEP_LOOKS = 20_000;

const SWEEP = 'sweep';
/** Where the sweep is: one entry, there while it runs. */
const sweepStore = keyValueStore<string>('sweep', textSerde);

type Context = ProcessContext<ContactScored | null, Record<never, never>>;

/**
 * Keeps each contact's features, and scores it once an epoch in which they, or the contact, changed. When another model
 * is published, a sweep scores the others again, some at a time.
 */
export const scoreStep: ProcessSpec<ScoreInput, ContactScored | null, Record<never, never>> = {
  stores: [contactStore, tenantStore, modelStore, sweepStore],
  tables: [models],
  create: (context) => new ScoreStep(context),
};

/** A contact that is worked on in this epoch. */
interface Work {
  readonly contact: ScoredContact;
  /** It is to be scored at the end of the epoch; else it is written only. */
  isDue: boolean;
}

class ScoreStep implements Processor<ScoreInput> {
  readonly #context: Context;
  readonly #active: ActiveModel;
  /** By contact's key. */
  readonly #work = new Map<string, Work>();
  readonly #features = new Float32Array(featureNames.length);

  constructor(context: Context) {
    this.#context = context;
    this.#active = new ActiveModel(context);
  }

  onStart(): void {
    this.#active.restore();
    this.#adopt();
  }

  onTableChange(_topic: string, key: string): void {
    if (key === ACTIVE_MODEL) this.#adopt();
  }

  #adopt(): void {
    if (!this.#active.adopt()) return;
    this.#context.store(sweepStore).set(SWEEP, '');
    this.#context.timers.schedule('wall', SWEEP, this.#context.now() + SWEEP_EVERY_MS);
  }

  process(input: ScoreInput, record: StreamRecord<ScoreInput>): NotOk | undefined {
    if (input.kind === 'activity') return this.#did(input.activity, record.timestamp);
    if (input.contact === null) return this.#deleted(record);
    return this.#is(input.contact, record.timestamp);
  }

  #did({ tenant, contact: id, amounts }: Activity, timestamp: number): undefined {
    const key = contactKey(id, tenant);
    if (this.#find(key) === undefined)
      this.#context.timers.schedule('event', key, timestamp + UNKNOWN_CONTACT_MS);
    const { contact } = this.#workOn(key, { isDue: true });
    const { features } = contact;
    for (const [index, amount] of amounts.entries())
      features[index] = Math.min(Number.MAX_SAFE_INTEGER, (features[index] ?? 0) + amount);
    contact.at = Math.max(contact.at, timestamp);
    return undefined;
  }

  #is(golden: Contact, timestamp: number): NotOk | undefined {
    const { id, tenant_id: tenant, version } = golden;
    const tenants = this.#context.store(tenantStore);
    const before = tenants.get(id);
    const key = contactKey(id, tenant);
    const found = this.#find(key);
    if (found !== undefined && version < found.goldenVersion) return drop('superseded');
    const traits = traitsOf(golden);
    const isSame = found?.isKnown === true && hasTraits(found, traits);
    const { contact } = this.#workOn(key, { isDue: !isSame });
    contact.goldenVersion = version;
    if (isSame) return undefined;
    if (before !== undefined && before !== tenant) this.#move(contactKey(id, before), contact);
    if (before !== tenant) tenants.set(id, tenant);
    setTraits(contact, traits);
    contact.isKnown = true;
    contact.at = Math.max(contact.at, timestamp);
    this.#context.timers.cancel('event', key);
    return undefined;
  }

  /** A contact that has another tenant now goes on with its version, not with what it did. */
  #move(from: string, to: ScoredContact): void {
    if (this.#find(from) === undefined) return;
    const { contact: old } = this.#workOn(from, { isDue: false });
    if (old.version > to.version) to.version = old.version;
    to.isScored ||= old.isScored;
    forget(old);
    old.isScored = false;
  }

  #deleted({ key: id, source, timestamp }: StreamRecord<ScoreInput>): NotOk | undefined {
    const tenant = this.#context.store(tenantStore).get(id);
    const key = contactKey(id, tenant ?? '');
    const found = this.#find(key);
    if (found?.isKnown !== true) return drop('no contact');
    const version = source.record.headers[VERSION_HEADER]?.toString();
    if (version !== undefined && BigInt(version) < found.goldenVersion) return drop('superseded');
    const { contact } = this.#workOn(key, { isDue: true });
    forget(contact);
    contact.at = timestamp;
    return undefined;
  }

  /** As it is in this epoch: to look at. */
  #find(key: string): ScoredContact | undefined {
    return this.#work.get(key)?.contact ?? this.#context.store(contactStore).get(key);
  }

  /** To be changed, and written at the end of the epoch. */
  #workOn(key: string, { isDue }: Pick<Work, 'isDue'>): Work {
    const under = this.#work.get(key);
    if (under !== undefined) {
      under.isDue ||= isDue;
      return under;
    }
    const stored = this.#context.store(contactStore).get(key);
    const work = { contact: stored === undefined ? newContact() : copyOf(stored), isDue };
    this.#work.set(key, work);
    return work;
  }

  onTimer(key: string, _atMs: number, kind: 'event' | 'wall'): void {
    if (kind === 'wall') return void this.#sweep();
    const contact = this.#find(key);
    // One that was deleted keeps its version: it may come again.
    if (contact === undefined || contact.isKnown || contact.version > 0n) return;
    this.#work.delete(key);
    this.#context.store(contactStore).delete(key);
  }

  /** Scores the next contacts whose last score is of another model. */
  #sweep(): void {
    const cursor = this.#context.store(sweepStore).get(SWEEP);
    const { model } = this.#active;
    if (cursor === undefined || model === undefined) return;
    let last = cursor;
    let looks = 0;
    let scored = 0;
    for (const [key, { isKnown, modelAt }] of this.#context.store(contactStore).range(cursor)) {
      if (looks === SWEEP_LOOKS || scored === SWEEP_CONTACTS) {
        this.#context.store(sweepStore).set(SWEEP, last);
        this.#context.timers.schedule('wall', SWEEP, this.#context.now() + SWEEP_EVERY_MS);
        return;
      }
      looks += 1;
      last = `${key}\0`;
      if (!isKnown || modelAt >= model.publishedAt) continue;
      scored += 1;
      this.#workOn(key, { isDue: true });
    }
    this.#context.store(sweepStore).delete(SWEEP);
  }

  endEpoch(): void {
    const { model } = this.#active;
    for (const [key, { contact, isDue }] of this.#work) {
      if (isDue && contact.isKnown && model !== undefined) this.#score(key, contact, model);
      else if (isDue && !contact.isKnown && contact.isScored) this.#unscore(key, contact);
      this.#context.store(contactStore).set(key, contact);
    }
    this.#work.clear();
  }

  #score(key: string, contact: ScoredContact, model: Model): void {
    const { contact: id, tenant } = partsOfKey(key);
    contact.version += 1n;
    contact.isScored = true;
    contact.modelAt = model.publishedAt;
    this.#features.set(contact.features);
    const { features } = contact;
    const at = Math.max(contact.at, model.publishedAt);
    const scored: ContactScored = {
      contact_id: id,
      tenant_id: tenant,
      score: scoreOf(model, this.#features),
      model: model.name,
      model_version: model.version,
      login_count: features[featureIndex.login_count] ?? 0,
      api_calls: features[featureIndex.api_calls] ?? 0,
      data_uploaded: features[featureIndex.data_uploaded] ?? 0,
      email_valid: features[featureIndex.email_valid] === 1,
      phone_valid: features[featureIndex.phone_valid] === 1,
      social_profiles: features[featureIndex.social_profiles] ?? 0,
      emails_sent: features[featureIndex.emails_sent] ?? 0,
      opens: features[featureIndex.opens] ?? 0,
      clicks: features[featureIndex.clicks] ?? 0,
      responses: features[featureIndex.responses] ?? 0,
      scored_at: at,
      version: contact.version,
    };
    this.#context.forward(id, scored, { timestamp: at });
  }

  #unscore(key: string, contact: ScoredContact): void {
    contact.version += 1n;
    contact.isScored = false;
    const headers = { [VERSION_HEADER]: String(contact.version) };
    this.#context.forward(partsOfKey(key).contact, null, { timestamp: contact.at, headers });
  }
}

function hasTraits({ features }: ScoredContact, traits: Traits): boolean {
  return traitNames.every((name) => features[featureIndex[name]] === traits[name]);
}

function setTraits({ features }: ScoredContact, traits: Traits): void {
  for (const name of traitNames) features[featureIndex[name]] = traits[name];
}

/** It is none any more. */
function forget(contact: ScoredContact): void {
  contact.isKnown = false;
  contact.features.fill(0);
}
