import type { RecordResult, SinkRecord } from '../runtime/delivery/sink.ts';
import type { Encoded } from './record.ts';

/**
 * Encodes a batch, writes the records that have a form in the store, and merges both kinds of results.
 * @param write writes the encoded rows; one result per row, same order.
 * @returns one result per record, same order.
 */
export async function writeEncoded<Row>(
  batch: readonly SinkRecord[],
  encode: (record: SinkRecord) => Encoded<Row>,
  write: (rows: readonly Row[]) => Promise<readonly RecordResult[]>,
): Promise<readonly RecordResult[]> {
  const results = new Array<RecordResult>(batch.length);
  const rows: Row[] = [];
  const indices: number[] = [];
  batch.forEach((record, index) => {
    const encoded = encode(record);
    if (encoded.error !== undefined) {
      results[index] = { status: 'rejected', error: encoded.error };
    } else {
      rows.push(encoded.row);
      indices.push(index);
    }
  });
  const answers = rows.length > 0 ? await write(rows) : [];
  indices.forEach((index, i) => {
    const answer = answers[i];
    if (answer === undefined) throw new Error('a store answered for fewer rows than it got');
    results[index] = answer;
  });
  return results;
}
