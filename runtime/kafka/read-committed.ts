/** A record as KafkaJS decodes it, as far as transactions go. */
export interface FetchedMessage {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly isControlRecord?: boolean;
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
}

/** An entry of a fetch response's list of aborted transactions. */
export interface AbortedTransaction {
  readonly firstOffset: string;
  readonly producerId: string;
}

/** Key of a control record that ends a transaction: version 0, type 0 (abort); type 1 is commit (KIP-98). */
function isAbortMarker({ isControlRecord, key }: FetchedMessage): boolean {
  return isControlRecord === true && key !== null && key.length >= 4 && key.readInt16BE(2) === 0;
}

/**
 * The messages that are not part of an aborted transaction, control records included.
 *
 * The broker lists aborted transactions in the order in which they were aborted, so they have to be sorted by
 * their first offset (as the Java client's `CompletedFetch.consumeAbortedTransactionsUpTo` does by a queue).
 * KafkaJS 2.2.4 takes the list for sorted and opens one entry a message: where transactions of several producers
 * overlap in a partition it hands out aborted records, and drops committed ones.
 */
export function dropAborted<M extends FetchedMessage>({
  messages,
  abortedTransactions,
}: {
  readonly messages: readonly M[];
  readonly abortedTransactions?: readonly AbortedTransaction[] | null;
}): readonly M[] {
  if (abortedTransactions == null || abortedTransactions.length === 0) return messages;
  const pending = abortedTransactions
    .map(({ firstOffset, producerId }) => ({
      from: BigInt(firstOffset),
      producerId: String(producerId),
    }))
    .sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0));
  const open = new Set<string>();
  let next = 0;
  return messages.filter((message) => {
    const offset = BigInt(message.offset);
    for (
      let entry = pending[next];
      entry !== undefined && entry.from <= offset;
      entry = pending[next]
    ) {
      open.add(entry.producerId);
      next += 1;
    }
    const producerId = String(message.batchContext.producerId);
    if (isAbortMarker(message)) open.delete(producerId);
    return (
      message.isControlRecord === true ||
      !message.batchContext.inTransaction ||
      !open.has(producerId)
    );
  });
}
