import { type Described, mentions } from './describe.ts';
import type { Visit } from './model.ts';
import type { TopicPath } from './paths.ts';

/**
 * Says what each visit was made from. Letters and retries name their record in headers. Outputs of pipelines carry no such
 * header: they are of the last record before them that a pipeline leads from, by the id that was asked for, else by the key.
 */
export function originsOf(
  visits: readonly Described[],
  paths: readonly TopicPath[],
  query: string,
): Visit[] {
  return visits.map((each) => ({
    ...each.visit,
    from: each.letter === undefined ? madeFrom(each, visits, paths, query) : failedFrom(each),
  }));
}

function failedFrom({ letter }: Described): Visit['from'] {
  if (letter === undefined || letter.topic === '') return undefined;
  const visit = `${letter.topic}[${letter.partition}]@${letter.offset}`;
  return {
    visit,
    by: 'headers',
    pipeline: undefined,
    steps: letter.step === '' ? [] : [letter.step],
  };
}

function madeFrom(
  { hit, visit, value }: Described,
  visits: readonly Described[],
  paths: readonly TopicPath[],
  query: string,
): Visit['from'] {
  const ways = paths.filter(({ to }) => to === hit.topic);
  const sources = visits.filter(
    (other) =>
      other.visit.kind !== 'dead letter' && ways.some(({ from }) => from === other.hit.base),
  );
  const isSame = mentions(value, query);
  const byId = isSame ? sources.findLast((other) => mentions(other.value, query)) : undefined;
  const source =
    byId ??
    sources.findLast(
      (other) => other.visit.key === visit.key && other.visit.timestamp <= visit.timestamp,
    );
  const way = ways.find(({ from }) => from === source?.hit.base);
  if (source === undefined || way === undefined) return undefined;
  const by = byId === undefined ? 'key' : 'id';
  return { visit: source.visit.id, by, pipeline: way.pipeline, steps: way.steps };
}
