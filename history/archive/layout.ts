/** A partition's place in the archive. */
export interface ArchivePlace {
  /** '' without one. */
  readonly namespace: string;
  /** Logical name. */
  readonly topic: string;
  /** The brokers' id: another topic of the same name has another place. Undefined before Kafka 2.8. */
  readonly topicId: string | undefined;
  readonly partition: number;
}

/** A segment, as its name tells it. */
export interface SegmentName {
  /** First offset that it is about. */
  readonly from: bigint;
  /** Exclusive. */
  readonly to: bigint;
  /** First digits of the SHA-256 of its records' object. */
  readonly digest: string;
}

/** Stands for a name that is empty, or an id that is not known. */
const NONE = '_';
const DIGITS = 20;
const NAME = /^(\d{20})-(\d{20})-([0-9a-f]{16})\.json$/;

/** Prefix of a namespace, or of one of its topics. */
export function topicPrefix(namespace: string, topic?: string): string {
  const root = `${namespace === '' ? NONE : namespace}/`;
  return topic === undefined ? root : `${root}${topic}/`;
}

/** Prefix of what one topic of a name has. */
export function idPrefix({ namespace, topic, topicId }: Omit<ArchivePlace, 'partition'>): string {
  return `${topicPrefix(namespace, topic)}${idSegment(topicId)}/`;
}

/** Prefix of a partition's segments. */
export function partitionPrefix(place: ArchivePlace): string {
  return `${idPrefix(place)}${place.partition}/`;
}

// An id may begin with a character that no path segment of an S3 prefix or a directory should: it gets one before it.
function idSegment(topicId: string | undefined): string {
  return topicId === undefined ? NONE : `t${topicId}`;
}

/** The id that a directory's name stands for. */
export function idOfSegment(segment: string): string | undefined {
  return segment === NONE ? undefined : segment.slice(1);
}

/** Key of a segment's object, without its ending. */
export function segmentKey(place: ArchivePlace, { from, to, digest }: SegmentName): string {
  const text = (offset: bigint) => String(offset).padStart(DIGITS, '0');
  return `${partitionPrefix(place)}${text(from)}-${text(to)}-${digest}`;
}

/** What a manifest's key says; undefined for other objects. */
export function segmentOf(key: string): SegmentName | undefined {
  const [, from, to, digest] = NAME.exec(key.slice(key.lastIndexOf('/') + 1)) ?? [];
  if (from === undefined || to === undefined || digest === undefined) return undefined;
  return { from: BigInt(from), to: BigInt(to), digest };
}
