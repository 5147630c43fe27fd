import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { ReachflowError } from '../../runtime/errors.ts';
import { invalidRecord, keyFault } from '../record.ts';
import { cellWriter, emptyCell } from './cells.ts';
import { RowBinaryWriter } from './row-binary.ts';
import type { Column, Table } from './tables.ts';
import { parseColumnType } from './types.ts';

/** A batch in RowBinary: record i has the bytes from `ends[i - 1]` to `ends[i]`, none when it cannot be written. */
export interface EncodedBatch {
  readonly bytes: Buffer;
  readonly ends: readonly number[];
  /** Why a record cannot be written, by index. */
  readonly errors: ReadonlyMap<number, ReachflowError>;
}

/** Encodes a topic's records for its table as it is now. */
export interface TableEncoder {
  /** Names and types, which the server compares with its own before it takes a row. */
  readonly header: Buffer;
  encode(records: readonly SinkRecord[]): EncodedBatch;
}

const ROW_BYTES = 512;
const HEADER_BYTES = 4_096;

type RecordWriter = (
  out: RowBinaryWriter,
  record: SinkRecord,
  deleted: boolean,
) => string | undefined;

function headerOf(columns: readonly (readonly [string, string])[]): Buffer {
  const out = new RowBinaryWriter(HEADER_BYTES);
  out.varint(columns.length);
  for (const [name] of columns) out.text(name);
  for (const [, type] of columns) out.text(type);
  return out.slice(0, out.position);
}

/** What a tombstone has for the one field of the key, where the table deletes. */
function keyOf(table: Table, name: string): ((record: SinkRecord) => unknown) | undefined {
  const { spec, fields } = table.model;
  if (!spec.deletes || !spec.key.includes(name)) return undefined;
  const kind = fields.find((field) => field.name === name)?.type.kind;
  if (kind === 'string') return (record) => record.key;
  return (record) => (/^-?\d+$/.test(record.key) ? BigInt(record.key) : record.key);
}

/** @param type of the column as it is in the table. */
function recordWriter(table: Table, { name, source }: Column, type: string): RecordWriter {
  if (source.from === 'partition') return (out, { partition }) => void out.uint32(partition);
  if (source.from === 'offset') return (out, { offset }) => void out.bigint64(offset);
  if (source.from === 'version') return (out, { version }) => void out.bigint64(version);
  if (source.from === 'deleted') return (out, _, deleted) => void out.byte(deleted ? 1 : 0);
  const parsed = parseColumnType(type);
  if (parsed === undefined) throw new Error(`column ${name} has the unknown type ${type}`);
  const write = cellWriter(parsed, source.field.type);
  const empty = emptyCell(parsed);
  const key = keyOf(table, name);
  return (out, record, deleted) => {
    if (deleted && key === undefined) return void out.bytes(empty);
    const why = write(out, deleted ? key?.(record) : record.value?.[name]);
    return why === undefined ? undefined : `${name} ${why}`;
  };
}

/** What is wrong with a record before its fields are looked at. */
function recordFault({
  model: { topic, spec },
}: Table): (record: SinkRecord) => string | undefined {
  const [keyField] = spec.key;
  return (record) => {
    const why = spec.kind === 'upsert' ? keyFault(record) : undefined;
    if (why !== undefined) return why;
    if (record.value === null) {
      return spec.deletes ? undefined : `${topic} has no deletions, but this is a tombstone`;
    }
    // A tombstone carries only the key: a row under another id could never be deleted, nor keep its order.
    const isOther =
      spec.deletes && keyField !== undefined && String(record.value[keyField]) !== record.key;
    return isOther ? `its ${keyField} is not its key` : undefined;
  };
}

/**
 * Compiles the encoder of a table. @param types of the table's columns now, by name; those of a table that was made by
 * a newer schema may be wider than ours.
 * @throws Error when a column is missing: `open` has made or refused it.
 */
export function compileEncoder(table: Table, types: ReadonlyMap<string, string>): TableEncoder {
  const columns = table.columns.map((column) => {
    const type = types.get(column.name);
    if (type === undefined) throw new Error(`table ${table.name} has no column ${column.name}`);
    return { name: column.name, type, write: recordWriter(table, column, type) };
  });
  const writers = columns.map(({ write }) => write);
  const faultOf = recordFault(table);

  function writeRow(out: RowBinaryWriter, record: SinkRecord): string | undefined {
    const why = faultOf(record);
    if (why !== undefined) return why;
    const deleted = record.value === null;
    for (const write of writers) {
      const fault = write(out, record, deleted);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  return {
    header: headerOf(columns.map(({ name, type }) => [name, type])),
    encode(records) {
      const out = new RowBinaryWriter(records.length * ROW_BYTES);
      const ends: number[] = [];
      const errors = new Map<number, ReachflowError>();
      records.forEach((record, index) => {
        const start = out.position;
        const why = writeRow(out, record);
        if (why !== undefined) {
          out.rewind(start);
          errors.set(index, invalidRecord(record, why));
        }
        ends.push(out.position);
      });
      return { bytes: out.slice(0, out.position), ends, errors };
    },
  };
}
