import { ReachflowError } from '../../../runtime/errors.ts';
import type { FieldMap, ImportMap } from '../map.ts';
import type { CellRow } from '../readers/cell-row.ts';
import { type Conversion, type Converted, convert, textOf } from './convert.ts';
import { JsonWriter } from './json-writer.ts';
import { NOT_PLAIN, plainForm, plainTime } from './plain-cells.ts';
import { valueAt } from './pointer.ts';
import { parseTime, type TimeOrder } from './time.ts';

/** Where a value is: a column by its place, of objects a path. */
interface Place {
  readonly column: string;
  readonly index: number;
}

interface FieldPlan {
  /** `"name":`, with what goes before it. */
  readonly opening: Buffer;
  /** Same JSON in each row; undefined where it comes from a column. */
  readonly constant: Buffer | undefined;
  readonly place: Place;
  readonly required: boolean;
  readonly conversion: Conversion;
  /** Its cells are copied as they are. */
  readonly verbatim: boolean;
}

const NULL = Buffer.from('null');
const END = Buffer.from('}');
const MAX_TENANT = 128;
const MAX_ENTITY = 1_024;
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/**
 * Makes of one row after another what its record holds. What a row became is in the properties until the next one.
 */
export class RowMapper {
  /** JSON text of the mapped fields. */
  readonly payload = new JsonWriter();
  /** Every reason against the last row; empty when it is accepted. */
  readonly reasons: string[] = [];
  tenant = '';
  /** Entity id as UTF-8, up to `entityLength`. */
  readonly entity = Buffer.allocUnsafeSlow(MAX_ENTITY);
  entityLength = 0;
  /** ms since the epoch; undefined when the row says nothing. */
  occurredAt: number | undefined;
  readonly #fields: readonly FieldPlan[] | undefined;
  readonly #tenant: Place | undefined;
  readonly #key: readonly Place[];
  readonly #time: (Place & { readonly order: TimeOrder }) | undefined;

  /**
   * @param columns of the file; undefined for objects of JSON, whose fields are found by name or pointer.
   * @throws ReachflowError `MAP_COLUMNS` naming every column that the file does not have.
   */
  constructor(map: ImportMap, columns: readonly string[] | undefined) {
    const places = new Places(columns);
    if (typeof map.tenant === 'string') this.tenant = map.tenant;
    this.#tenant = typeof map.tenant === 'string' ? undefined : places.of(map.tenant.column);
    this.#key = map.key.map((column) => places.of(column));
    this.#time =
      map.occurredAt === undefined
        ? undefined
        : { ...places.of(map.occurredAt.column), order: map.occurredAt.order };
    this.#fields = fieldPlans(map.fields ?? fieldsOf(columns), places);
    places.check();
  }

  /** Maps a row of cells. @returns whether it is accepted. */
  cells(row: CellRow): boolean {
    this.#begin();
    if (this.#tenant !== undefined) this.#setTenant(row.text(this.#tenant.index));
    if (this.#time !== undefined) this.#setTimeCell(row, this.#time.index, this.#time.order);
    for (const { index, column } of this.#key) this.#addKeyCell(row, index, column);
    const fields = this.#fields ?? [];
    for (const plan of fields) {
      if (plan.constant === undefined) this.#cell(plan, row);
      else this.#field(plan, undefined);
    }
    this.payload.raw(END);
    return this.#end();
  }

  /** Maps a row of values. @returns whether it is accepted. */
  values(values: readonly unknown[]): boolean {
    return this.#map(({ index }) => values[index]);
  }

  /** Maps an object. @param text its JSON, which is the payload when the map names no fields. */
  object(value: Readonly<Record<string, unknown>>, text: Buffer): boolean {
    return this.#map(({ column }) => valueAt(value, column), text);
  }

  #map(get: (place: Place) => unknown, text?: Buffer): boolean {
    this.#begin();
    if (this.#tenant !== undefined) this.#setTenant(textOf(get(this.#tenant)));
    if (this.#time !== undefined) this.#setTime(get(this.#time), this.#time.order);
    for (const place of this.#key) this.#addKey(textOf(get(place)), place.column);
    if (this.#fields === undefined) {
      if (text !== undefined) this.payload.raw(text);
      return this.#end();
    }
    for (const plan of this.#fields)
      this.#field(plan, plan.constant === undefined ? get(plan.place) : undefined);
    this.payload.raw(END);
    return this.#end();
  }

  #begin(): void {
    this.reasons.length = 0;
    this.entityLength = 0;
    this.occurredAt = undefined;
    this.payload.reset();
    if (this.#fields?.length === 0) this.payload.json('{');
  }

  #end(): boolean {
    if (this.entityLength > MAX_ENTITY)
      this.reasons.push(`the key is longer than ${MAX_ENTITY} bytes`);
    return this.reasons.length === 0;
  }

  /** A cell of a text; without a string of its own where its bytes will do. */
  #cell(plan: FieldPlan, row: CellRow): void {
    const { index } = plan.place;
    const from = row.starts[index] ?? 0;
    const to = index < row.count ? (row.ends[index] ?? 0) : from;
    if (from === to) {
      this.#absent(plan);
      return;
    }
    const { buffer } = row;
    if (plan.verbatim) {
      this.payload.raw(plan.opening);
      this.payload.string(buffer, from, to, row.doubled[index] === 1 ? row.quote : -1);
      return;
    }
    const form = plainForm(plan.conversion.type, buffer, from, to);
    if (form === NOT_PLAIN) {
      this.#field(plan, row.text(index));
      return;
    }
    this.payload.raw(plan.opening);
    this.payload.plain(form, buffer, from, to);
  }

  #field(plan: FieldPlan, value: unknown): void {
    if (plan.constant !== undefined) {
      this.payload.raw(plan.opening);
      this.payload.raw(plan.constant);
      return;
    }
    const converted: Converted = convert(value, plan.conversion);
    if ('absent' in converted) {
      this.#absent(plan);
      return;
    }
    if ('problem' in converted) {
      this.reasons.push(`${plan.place.column}: ${converted.problem}`);
      return;
    }
    this.payload.raw(plan.opening);
    this.payload.json(converted.json);
  }

  #absent(plan: FieldPlan): void {
    if (plan.required) this.reasons.push(`${plan.place.column}: it is empty, and required`);
    this.payload.raw(plan.opening);
    this.payload.raw(NULL);
  }

  #setTenant(text: string): void {
    this.tenant = text.trim();
    if (this.tenant.length <= MAX_TENANT && TENANT.test(this.tenant)) return;
    this.reasons.push(
      `${this.#tenant?.column}: ${JSON.stringify(this.tenant.slice(0, 60))} is no tenant`,
    );
  }

  #setTimeCell(row: CellRow, index: number, order: TimeOrder): void {
    const from = row.starts[index] ?? 0;
    const to = index < row.count ? (row.ends[index] ?? 0) : from;
    this.occurredAt = plainTime(row.buffer, from, to);
    if (this.occurredAt === undefined) this.#setTime(row.text(index), order);
  }

  #setTime(value: unknown, order: TimeOrder): void {
    const ms = value instanceof Date ? value.getTime() : parseTime(textOf(value).trim(), order);
    if (ms === undefined || Number.isNaN(ms)) {
      const shown = JSON.stringify(textOf(value).slice(0, 60));
      this.reasons.push(`${this.#time?.column}: ${shown} is no timestamp`);
      return;
    }
    this.occurredAt = ms;
  }

  #addKeyCell(row: CellRow, index: number, column: string): void {
    const from = row.starts[index] ?? 0;
    const length = index < row.count ? (row.ends[index] ?? 0) - from : 0;
    if (row.doubled[index] === 1 || length > 64) {
      this.#addKey(row.text(index), column);
      return;
    }
    if (length === 0) {
      this.reasons.push(`${column}: it is empty, and part of the key`);
      return;
    }
    if (this.entityLength > 0) this.#put(0x2f);
    const { buffer } = row;
    for (let i = from; i < from + length; i += 1) this.#put(buffer[i] ?? 0);
  }

  #addKey(text: string, column: string): void {
    if (text === '') {
      this.reasons.push(`${column}: it is empty, and part of the key`);
      return;
    }
    if (this.entityLength > 0) this.#put(0x2f);
    const room = Math.max(0, MAX_ENTITY - this.entityLength);
    const bytes = Buffer.byteLength(text);
    if (bytes <= room) this.entity.write(text, this.entityLength);
    this.entityLength += bytes;
  }

  #put(byte: number): void {
    if (this.entityLength < MAX_ENTITY) this.entity[this.entityLength] = byte;
    this.entityLength += 1;
  }
}

/** Finds columns by name, and notes those that there are not. */
class Places {
  readonly #columns: ReadonlyMap<string, number> | undefined;
  readonly #missing = new Set<string>();

  constructor(columns: readonly string[] | undefined) {
    this.#columns =
      columns === undefined ? undefined : new Map(columns.map((name, i) => [name, i]));
  }

  of(column: string): Place {
    const index = this.#columns === undefined ? 0 : this.#columns.get(column);
    if (index === undefined) this.#missing.add(column);
    return { column, index: index ?? 0 };
  }

  check(): void {
    if (this.#missing.size === 0) return;
    const known = [...(this.#columns?.keys() ?? [])].slice(0, 50).join(', ');
    throw new ReachflowError(`the file has no column ${[...this.#missing].join(', ')}`, {
      code: 'MAP_COLUMNS',
      domain: 'user',
      hint: `It has: ${known}. \`reachflow import FILE --preview\` shows the first rows.`,
    });
  }
}

/** Every column as a field of its own name; undefined for objects, which are taken as they are. */
function fieldsOf(columns: readonly string[] | undefined): ImportMap['fields'] {
  if (columns === undefined) return undefined;
  return Object.fromEntries(
    columns.map((column) => [
      column,
      {
        column,
        type: 'any',
        required: false,
        trim: false,
        separator: ',',
        order: 'ymd',
      } as const,
    ]),
  );
}

function fieldPlans(fields: ImportMap['fields'], places: Places): FieldPlan[] | undefined {
  if (fields === undefined) return undefined;
  return Object.entries(fields).map(([name, field], i) => fieldPlan(name, field, i === 0, places));
}

function fieldPlan(name: string, field: FieldMap, isFirst: boolean, places: Places): FieldPlan {
  const opening = Buffer.from(`${isFirst ? '{' : ','}${JSON.stringify(name)}:`);
  if ('value' in field) {
    const conversion = { type: 'string', trim: false, separator: ',', order: 'ymd' } as const;
    const constant = Buffer.from(JSON.stringify(field.value));
    return {
      opening,
      constant,
      place: { column: name, index: 0 },
      required: false,
      conversion,
      verbatim: false,
    };
  }
  const { column, required, ...conversion } = field;
  return {
    opening,
    constant: undefined,
    place: places.of(column),
    required,
    conversion,
    verbatim: (conversion.type === 'any' || conversion.type === 'string') && !conversion.trim,
  };
}
