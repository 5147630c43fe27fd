import type { ImportMap } from './map.ts';
import { textOf } from './mapping/convert.ts';
import { RowMapper } from './mapping/row-mapper.ts';
import type { CellRow } from './readers/cell-row.ts';
import { openReader, type ReadSettings } from './readers/open-reader.ts';
import { FILE_START, type RowPlace, type RowReader, type RowVisitor } from './readers/reader.ts';

/** The first rows of a file as text, by its columns. */
export interface FileSample {
  readonly columns: readonly string[];
  readonly description: string;
  readonly kind: RowReader['kind'];
  readonly rows: readonly (readonly string[])[];
}

/** A row as it would be published, or why it would not. */
export type PreviewRow = RowPlace &
  (
    | { readonly key: string; readonly occurredAt: string | null; readonly payload: unknown }
    | { readonly reasons: readonly string[] }
  );

export interface Preview {
  readonly columns: readonly string[];
  readonly description: string;
  readonly rows: readonly PreviewRow[];
}

/** Reads rows until the visitor has enough. */
async function readSome(
  reader: RowReader,
  visitor: RowVisitor,
  isEnough: () => boolean,
): Promise<void> {
  // A reader hands over many rows before it yields: the visitor passes over what it does not want.
  for await (const _ of reader.read(FILE_START, visitor)) if (isEnough()) return;
}

/** @throws as `openReader` and its reader. */
export async function sampleFile(
  path: string,
  name: string,
  settings: ReadSettings,
  limit: number,
): Promise<FileSample> {
  const reader = await openReader(path, name, settings);
  const { columns, description, kind } = reader;
  const rows: string[][] = [];
  const add = (texts: () => string[]): void => {
    if (rows.length < limit) rows.push(texts());
  };
  await readSome(
    reader,
    {
      cells: (row) => add(() => row.texts()),
      values: (_place, values) => add(() => values.map(textOf)),
      object: (_place, value) => add(() => columns.map((column) => textOf(value[column]))),
      broken: () => undefined,
    },
    () => rows.length >= limit,
  );
  return { columns, description, kind, rows };
}

/** The first rows as a map makes them. @throws as `openReader` and its reader; `MAP_COLUMNS`. */
export async function previewFile(
  path: string,
  name: string,
  map: ImportMap,
  limit: number,
): Promise<Preview> {
  const reader = await openReader(path, name, map);
  const { columns, description } = reader;
  const preview = new PreviewTaker(
    new RowMapper(map, reader.kind === 'objects' ? undefined : columns),
    limit,
  );
  await readSome(reader, preview, () => preview.rows.length >= limit);
  return { columns, description, rows: preview.rows };
}

class PreviewTaker implements RowVisitor {
  readonly rows: PreviewRow[] = [];
  readonly #mapper: RowMapper;
  readonly #limit: number;

  constructor(mapper: RowMapper, limit: number) {
    this.#mapper = mapper;
    this.#limit = limit;
  }

  cells(row: CellRow): void {
    if (this.rows.length < this.#limit) this.#add(row, this.#mapper.cells(row));
  }

  values(place: RowPlace, values: readonly unknown[]): void {
    if (this.rows.length < this.#limit) this.#add(place, this.#mapper.values(values));
  }

  object(place: RowPlace, value: Readonly<Record<string, unknown>>, text: Buffer): void {
    if (this.rows.length < this.#limit) this.#add(place, this.#mapper.object(value, text));
  }

  broken({ row, line }: RowPlace, reason: string): void {
    if (this.rows.length < this.#limit) this.rows.push({ row, line, reasons: [reason] });
  }

  #add({ row, line }: RowPlace, isAccepted: boolean): void {
    const { tenant, entity, entityLength, occurredAt, payload, reasons } = this.#mapper;
    if (!isAccepted) {
      this.rows.push({ row, line, reasons: [...reasons] });
      return;
    }
    this.rows.push({
      row,
      line,
      key: `${tenant}:${entity.toString('utf8', 0, entityLength)}`,
      occurredAt: occurredAt === undefined ? null : new Date(occurredAt).toISOString(),
      payload: JSON.parse(payload.buffer.toString('utf8', 0, payload.length)),
    });
  }
}
