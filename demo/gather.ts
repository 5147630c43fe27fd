import type { LedgerView } from './input/ledger.ts';
import { readDeadLetters } from './readers/dead-letters.ts';
import { readSourceTopics, type TopicReaderDeps } from './readers/source-topics.ts';
import type { Stores } from './stores.ts';
import { captureChecks } from './verify/contact-checks.ts';
import type { Facts, SourceTables, TopicFacts } from './verify/facts.ts';

/** The source side: topics and tables, read at a moment when nobody writes. */
export interface SourceFacts extends TopicFacts {
  readonly source: SourceTables;
}

/** Reads the source topics whole, and the source tables. */
export async function gatherSource(
  kafka: TopicReaderDeps,
  stores: Pick<Stores, 'postgres'>,
): Promise<SourceFacts> {
  const source = await stores.postgres.sourceTables();
  return { ...(await readSourceTopics(kafka)), source };
}

/** Have all changes of the source tables reached the topics? Until then it is too early to compare the stores. */
export function isCaptured(facts: SourceFacts): boolean {
  return captureChecks(facts).every(({ ok }) => ok);
}

/** Reads the stores and the DLQs, for a comparison with the source side. */
export async function gatherFacts(
  kafka: TopicReaderDeps,
  stores: Stores,
  sourceFacts: SourceFacts,
  ledger: LedgerView,
): Promise<Facts> {
  const [storedEvents, storedCounts, postgres, clickhouse, elasticsearch] = await Promise.all([
    stores.clickhouse.events(),
    stores.clickhouse.tenantCounts(),
    stores.postgres.contacts(),
    stores.clickhouse.contacts(),
    stores.elasticsearch.contacts(),
  ]);
  return {
    ...sourceFacts,
    storedEvents,
    storedCounts,
    storedContacts: { postgres, clickhouse, elasticsearch },
    deadLetters: await readDeadLetters(kafka.client),
    ledger,
  };
}
