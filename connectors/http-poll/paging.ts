import { atPointer } from '../extract.ts';
import type { PollSource } from './config.ts';
import type { Position } from './position.ts';

/** Pure: from a position to a request, and from a page to the next position. */

/** What of an answer says where to go on. */
export interface PageFacts {
  /** Records on it. */
  readonly count: number;
  /** The parsed body; undefined for CSV. */
  readonly document: unknown;
  /** Target of the Link header with rel="next", made absolute. */
  readonly nextLink: string | undefined;
}

export interface Step {
  /** Behind the page. */
  readonly position: Position;
  /** Whether the next page is to be got in this round. */
  readonly more: boolean;
}

export function firstPosition({ paging }: PollSource): Position {
  return { kind: paging.kind, at: null, taken: 0 };
}

/** The URL of the page at a position. */
export function urlAt({ url: template, paging }: PollSource, { at }: Position): URL {
  if (paging.kind === 'none') return new URL(template);
  if (paging.kind === 'link') return new URL(at === null ? template : String(at));
  const first = paging.kind === 'page' ? paging.first : paging.kind === 'offset' ? 0 : '';
  const value = String(at ?? first);
  const placeholder = `{${paging.kind}}`;
  const isInTemplate = template.includes(placeholder);
  const url = new URL(template.replaceAll(placeholder, encodeURIComponent(value)));
  if (!isInTemplate && value !== '') url.searchParams.set(paging.parameter, value);
  if (paging.kind !== 'cursor' && paging.sizeParameter !== undefined)
    url.searchParams.set(paging.sizeParameter, String(paging.size));
  return url;
}

/** The page behind this one: undefined when it is the last there is now. */
function nextAt(
  { paging }: PollSource,
  { at }: Position,
  page: PageFacts,
): Position['at'] | undefined {
  switch (paging.kind) {
    case 'none':
      return undefined;
    case 'link':
      return page.nextLink;
    case 'page':
      return page.count >= paging.size ? Number(at ?? paging.first) + 1 : undefined;
    case 'offset':
      return page.count > 0 ? Number(at ?? 0) + page.count : undefined;
    case 'cursor': {
      const cursor = atPointer(page.document, paging.pointer);
      const isThere = (typeof cursor === 'string' && cursor !== '') || typeof cursor === 'number';
      return isThere ? cursor : undefined;
    }
  }
}

function hasMore({ paging }: PollSource, page: PageFacts): boolean {
  if (page.count === 0) return false;
  if (paging.kind === 'offset') return page.count >= paging.size;
  if (paging.kind !== 'cursor' || paging.hasMorePointer === undefined) return true;
  return atPointer(page.document, paging.hasMorePointer) !== false;
}

/**
 * Where to go on behind a page that was taken whole. On the last page of a source that continues, the position stays, and
 * says how many of its records are taken: what is added to it later is new.
 */
export function stepAfter(source: PollSource, position: Position, page: PageFacts): Step {
  const { kind, at } = position;
  const next = nextAt(source, position, page);
  // Some sources name the same page again at their end.
  if (next !== undefined && next !== at) {
    const more = hasMore(source, page);
    const moved: Position = { kind, at: next, taken: 0 };
    if (more || source.rounds === 'continue') return { position: moved, more };
  }
  if (source.rounds === 'restart') return { position: firstPosition(source), more: false };
  return { position: { kind, at, taken: Math.max(position.taken, page.count) }, more: false };
}

const LINK = /<([^>]*)>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^\s;,"]+))*)/g;

/** Target of rel="next" in Link headers (RFC 8288), made absolute. */
export function nextLink(
  header: string | readonly string[] | undefined,
  base: URL,
): string | undefined {
  const text = typeof header === 'string' ? header : (header ?? []).join(', ');
  for (const [, target = '', parameters = ''] of text.matchAll(LINK)) {
    const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(parameters);
    const relations = (rel?.[1] ?? rel?.[2] ?? '').toLowerCase().split(/\s+/);
    if (relations.includes('next') && URL.canParse(target, base.href))
      return new URL(target, base).href;
  }
  return undefined;
}
