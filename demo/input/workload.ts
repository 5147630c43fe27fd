import type { Random } from './random.ts';
import {
  breakContact,
  deleteCompany,
  deleteRow,
  insertBrokenContact,
  insertBrokenEvent,
  insertCompany,
  insertContact,
  insertEvent,
  type RowChange,
  type SourceTable,
  updateCompany,
  updateContact,
  updateEvent,
} from './rows.ts';

/** What is in the tables when the workload begins; ids go on after the highest. */
export interface WorkloadStart {
  readonly maxId: Readonly<Record<SourceTable, number>>;
  readonly liveIds: Readonly<Record<SourceTable, readonly number[]>>;
}

/** Ids per table that updates and deletes choose from: the newest. */
export const MAX_LIVE = 5_000;

/** How often each action is taken, relative to the others. */
const ACTIONS = {
  insertCompany: 4,
  updateCompany: 6,
  deleteCompany: 0.6,
  insertContact: 21,
  updateContact: 21,
  deleteContact: 4,
  insertBrokenContact: 2,
  breakContact: 1.5,
  insertEvent: 34,
  updateEvent: 2,
  deleteEvent: 1,
  insertBrokenEvent: 3,
} as const;

/** Companies and contacts come first, so that every later action has something to work on. */
const FIRST_COMPANIES = 3;
const FIRST_CONTACTS = 5;

/** An endless, seeded stream of what an application does to companies, contacts and events. */
export class Workload {
  readonly #random: Random;
  readonly #maxId: Record<SourceTable, number>;
  readonly #live: Record<SourceTable, number[]>;

  constructor(random: Random, start: WorkloadStart) {
    this.#random = random;
    this.#maxId = { ...start.maxId };
    this.#live = {
      companies: start.liveIds.companies.slice(-MAX_LIVE),
      contacts: start.liveIds.contacts.slice(-MAX_LIVE),
      events: start.liveIds.events.slice(-MAX_LIVE),
    };
  }

  /** The statements of the application's next action; they belong into one transaction. @param nowMs its clock. */
  next(nowMs: number): readonly RowChange[] {
    const random = this.#random;
    const { companies, contacts, events } = this.#live;
    if (companies.length < FIRST_COMPANIES)
      return [insertCompany(random, this.#newId('companies'))];
    if (contacts.length < FIRST_CONTACTS) return [this.#insertContact()];
    const action = random.weighted(ACTIONS);
    switch (action) {
      case 'insertCompany':
        return [insertCompany(random, this.#newId('companies'))];
      case 'updateCompany':
        return [updateCompany(random, random.pick(companies))];
      case 'deleteCompany':
        return deleteCompany(this.#take('companies'));
      case 'insertContact':
        return [this.#insertContact()];
      case 'insertBrokenContact':
        return [insertBrokenContact(random, this.#newId('contacts'))];
      case 'updateContact':
        return [updateContact(random, random.pick(contacts), random.pick(companies))];
      case 'breakContact':
        return [breakContact(random, random.pick(contacts))];
      case 'deleteContact':
        return [deleteRow('contacts', this.#take('contacts'))];
      case 'insertBrokenEvent':
        return [insertBrokenEvent(random, this.#newId('events'), nowMs)];
      case 'updateEvent':
        if (events.length > 1) return [updateEvent(random, random.pick(events))];
        return [this.#insertEvent(nowMs)];
      case 'deleteEvent':
        // Never the newest: its id would be given to another event by the next run.
        if (events.length > 1) return [deleteRow('events', this.#take('events'))];
        return [this.#insertEvent(nowMs)];
      case 'insertEvent':
        return [this.#insertEvent(nowMs)];
    }
  }

  #insertContact(): RowChange {
    const random = this.#random;
    const companyId = random.chance(0.15) ? null : random.pick(this.#live.companies);
    return insertContact(random, this.#newId('contacts'), companyId);
  }

  #insertEvent(nowMs: number): RowChange {
    const random = this.#random;
    const contactId = random.chance(0.1) ? null : random.pick(this.#live.contacts);
    return insertEvent(random, this.#newId('events'), contactId, nowMs);
  }

  #newId(table: SourceTable): number {
    const id = this.#maxId[table] + 1;
    this.#maxId[table] = id;
    const live = this.#live[table];
    live.push(id);
    if (live.length > MAX_LIVE) live.shift();
    return id;
  }

  /** Takes a row out of the live ones, but never the newest: ids go on after the highest that is there. */
  #take(table: SourceTable): number {
    const live = this.#live[table];
    const [id] = live.splice(this.#random.int(live.length - 1), 1);
    if (id === undefined) throw new Error(`no row of ${table} to take`);
    return id;
  }
}
