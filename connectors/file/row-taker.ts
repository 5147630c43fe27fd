import { ReachflowError } from '../../runtime/errors.ts';
import type { EpochBatches } from '../../runtime/kafka/epoch-batches.ts';
import type { RowMapper } from './mapping/row-mapper.ts';
import type { CellRow } from './readers/cell-row.ts';
import { RAW_BYTES, type RowPlace, type RowVisitor } from './readers/reader.ts';
import type { RejectsFile } from './rejects.ts';
import type { RowRecords } from './row-records.ts';

/** Of a payload: with what is around it, it has to fit its topic. */
const MAX_PAYLOAD_BYTES = 5_242_880;

interface RowTakerOptions {
  readonly mapper: RowMapper;
  readonly records: RowRecords;
  readonly rejects: RejectsFile;
  readonly batches: EpochBatches;
  readonly maxRejects: number;
  /** By earlier runs. */
  readonly rejected: number;
}

/** Puts each row that is accepted into the batches, and each other one into the rejects. */
export class RowTaker implements RowVisitor {
  /** Where records go at present. */
  batches: EpochBatches;
  /** Time of the records, ms since the epoch. */
  now = Date.now();
  rejected: number;
  readonly #options: RowTakerOptions;
  readonly #mapper: RowMapper;
  readonly #records: RowRecords;

  constructor(options: RowTakerOptions) {
    this.#options = options;
    this.#mapper = options.mapper;
    this.#records = options.records;
    this.batches = options.batches;
    this.rejected = options.rejected;
  }

  cells(row: CellRow): void {
    if (this.#mapper.cells(row) && this.#mapper.payload.length <= MAX_PAYLOAD_BYTES) {
      this.#records.append(this.batches, row.row, this.now);
      return;
    }
    const raw = row.buffer.toString('utf8', row.from, Math.min(row.to, row.from + RAW_BYTES));
    this.#reject(row, raw);
  }

  values(place: RowPlace, values: readonly unknown[]): void {
    if (this.#mapper.values(values) && this.#mapper.payload.length <= MAX_PAYLOAD_BYTES) {
      this.#records.append(this.batches, place.row, this.now);
      return;
    }
    this.#reject(place, JSON.stringify(values, plain).slice(0, RAW_BYTES));
  }

  object(place: RowPlace, value: Readonly<Record<string, unknown>>, text: Buffer): void {
    if (this.#mapper.object(value, text) && this.#mapper.payload.length <= MAX_PAYLOAD_BYTES) {
      this.#records.append(this.batches, place.row, this.now);
      return;
    }
    this.#reject(place, text.toString('utf8', 0, RAW_BYTES));
  }

  broken(place: RowPlace, reason: string, raw: string): void {
    this.#add(place, [reason], raw);
  }

  #reject(place: RowPlace, raw: string): void {
    const reasons = [...this.#mapper.reasons];
    if (this.#mapper.payload.length > MAX_PAYLOAD_BYTES)
      reasons.push(`its payload is larger than ${MAX_PAYLOAD_BYTES} bytes`);
    this.#add(place, reasons, raw);
  }

  #add({ row, line }: RowPlace, reasons: readonly string[], raw: string): void {
    const { rejects, maxRejects } = this.#options;
    if (this.rejected >= maxRejects) throw tooMany(maxRejects, row, reasons, rejects.path);
    rejects.add({ row, line, reasons, raw });
    this.rejected += 1;
  }
}

/** Whole numbers of 64 bits have no form of their own in JSON. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

function tooMany(
  most: number,
  row: number,
  reasons: readonly string[],
  path: string,
): ReachflowError {
  const why = reasons.join('; ');
  return new ReachflowError(
    `more than ${most} rows are rejected; row ${row}, the last one: ${why}`,
    {
      code: 'TOO_MANY_REJECTS',
      domain: 'user',
      hint: `Is the map right? Reasons are in ${path}. With more --max-rejects it goes on from here.`,
    },
  );
}
