import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { ReachflowError } from '../../runtime/errors.ts';
import type { Field, TableModel } from '../fields.ts';
import { invalidRecord, keyFault } from '../record.ts';
import { BinaryArrays, textFault, type ValueFault } from './binary.ts';
import { type ColumnType, columnType } from './types.ts';

/** Why records can never be written, by record. */
export type Faults = Map<SinkRecord, ReachflowError>;

/** The rows of one statement. */
export interface EncodedRows {
  /** One binary array per column, as `parametersOf` has them. */
  readonly parameters: readonly Buffer[];
}

/** A field of the value, as one parameter. */
interface Slot {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable: boolean;
  /** What a tombstone's row has; null where it keeps nothing. */
  readonly deleted: (record: SinkRecord) => unknown;
}

const nothing = (): null => null;
const BOOLEAN = columnType({ kind: 'boolean' });

/** Turns a topic's records into the parameters of its statements. Made once per topic; keeps no record. */
export class TopicEncoder {
  readonly #model: TableModel;
  readonly #slots: readonly Slot[];
  readonly #keyKind: string;
  /** Bytes that a batch is likely to take, from the largest so far. */
  #capacity = 64 * 1_024;

  constructor(model: TableModel) {
    this.#model = model;
    const keyField = model.fields.find(({ name }) => name === model.spec.key[0]);
    this.#keyKind = keyField?.type.kind ?? 'string';
    this.#slots = model.fields.map((field) => this.#slot(field));
  }

  #slot({ name, type, nullable }: Field): Slot {
    const { spec } = this.#model;
    let deleted: Slot['deleted'] = nothing;
    if (spec.deletes && spec.key.includes(name)) deleted = (record) => this.#keyOf(record);
    else if (spec.deletes && name === spec.version) {
      deleted =
        type.kind === 'bigint' ? ({ version }) => version : ({ version }) => Number(version);
    }
    return { name, type: columnType(type), nullable, deleted };
  }

  /** The record's key as its field has it. */
  #keyOf({ key }: SinkRecord): string | number {
    return this.#keyKind === 'string' ? key : Number(key);
  }

  /**
   * The records to write: of each key its newest version, of equal ones the first, as in a store that has it already. A
   * record that nothing can order or find again goes into `faults`; what is superseded is in neither.
   */
  select(records: readonly SinkRecord[], faults: Faults): readonly SinkRecord[] {
    const { spec } = this.#model;
    const rows: SinkRecord[] = [];
    const places = new Map<string, number>();
    for (const record of records) {
      const fault = this.#recordFault(record);
      if (fault !== undefined) {
        faults.set(record, invalidRecord(record, fault));
        continue;
      }
      if (spec.kind === 'append') {
        rows.push(record);
        continue;
      }
      const identity = this.#identity(record);
      const place = places.get(identity);
      const earlier = place === undefined ? undefined : rows[place];
      if (place === undefined || earlier === undefined) {
        places.set(identity, rows.length);
        rows.push(record);
      } else if (this.#versionOf(earlier) < this.#versionOf(record)) {
        rows[place] = record;
      }
    }
    return rows;
  }

  #identity({ key, value }: SinkRecord): string {
    const { spec } = this.#model;
    if (spec.deletes || value === null) return key;
    const [only] = spec.key;
    if (spec.key.length === 1 && only !== undefined) return String(value[only]);
    // No text of a row holds U+0000, so that no two keys join alike.
    return spec.key.map((name) => String(value[name])).join('\0');
  }

  #versionOf({ value, version }: SinkRecord): bigint | number {
    return value === null ? version : (value[this.#model.spec.version ?? ''] as bigint | number);
  }

  #recordFault(record: SinkRecord): ValueFault {
    const { spec } = this.#model;
    const { value, key } = record;
    if (spec.deletes) {
      const fault = keyFault(record);
      if (fault !== undefined) return fault;
      if (value === null) return this.#tombstoneFault(key);
      // A tombstone carries only the key: a row under another id could never be deleted, nor keep its order.
      if (String(value[spec.key[0] ?? '']) !== key) return `its ${spec.key[0]} is not its key`;
    } else if (value === null) {
      return 'it is a tombstone, and rows of this topic are not deleted';
    }
    if (spec.kind === 'append') return undefined;
    const version = value[spec.version ?? ''];
    const whole = typeof version === 'bigint' || Number.isSafeInteger(version);
    return whole && (version as bigint | number) >= 0
      ? undefined
      : `${spec.version} is no version: a long that is not negative`;
  }

  #tombstoneFault(key: string): ValueFault {
    if (this.#keyKind !== 'string') {
      return Number.isSafeInteger(Number(key)) ? undefined : `its key is no ${this.#keyKind}`;
    }
    const fault = textFault(key);
    return fault === undefined ? undefined : `its key ${fault}`;
  }

  /**
   * The rows as statements of at most `maxRows` rows and, as far as single rows allow, some `maxBytes`. Records that have no
   * form in the table go into `faults`: what is returned is then not to be used.
   */
  encode(
    rows: readonly SinkRecord[],
    limits: { readonly maxRows: number; readonly maxBytes: number },
    faults: Faults,
  ): readonly EncodedRows[] {
    const statements: EncodedRows[] = [];
    const { maxRows, maxBytes } = limits;
    const waiting: (readonly SinkRecord[])[] = [];
    for (let from = 0; from < rows.length; from += maxRows) {
      waiting.push(rows.slice(from, from + maxRows));
    }
    waiting.reverse();
    for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
      const encoded = this.#encodeGroup(group, maxBytes, faults);
      if (encoded !== undefined) statements.push(encoded);
      else waiting.push(group.slice(group.length >> 1), group.slice(0, group.length >> 1));
    }
    return statements;
  }

  /** Undefined when it takes more bytes, and can be divided. */
  #encodeGroup(
    rows: readonly SinkRecord[],
    maxBytes: number,
    faults: Faults,
  ): EncodedRows | undefined {
    const limit = rows.length > 1 ? maxBytes : Number.POSITIVE_INFINITY;
    const out = new BinaryArrays(this.#capacity);
    const ranges: (readonly [number, number])[] = [];
    for (const slot of this.#slots) {
      out.begin(slot.type.wire, rows.length);
      for (const record of rows) {
        const fault = writeValue(out, slot, record);
        if (fault !== undefined && !faults.has(record)) {
          faults.set(record, invalidRecord(record, `${slot.name} ${fault}`));
        }
        if (out.length > limit) return undefined;
      }
      ranges.push(out.end());
    }
    if (this.#model.spec.deletes) {
      out.begin(BOOLEAN.wire, rows.length);
      for (const { value } of rows) out.bool(value === null);
      ranges.push(out.end());
    }
    this.#capacity = Math.max(this.#capacity, Math.min(out.length, maxBytes));
    return { parameters: ranges.map((range) => out.slice(range)) };
  }
}

function writeValue(out: BinaryArrays, slot: Slot, record: SinkRecord): ValueFault {
  const { value } = record;
  const given = value === null ? slot.deleted(record) : value[slot.name];
  if (given !== null && given !== undefined) return slot.type.write(out, given);
  if (value !== null && !slot.nullable) return 'is missing';
  out.null();
  return undefined;
}
