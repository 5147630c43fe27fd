import { describe, expect, it } from 'vitest';
import { parseExact } from '../exact-json.ts';
import { isPrivateAddress } from './address-guard.ts';
import { httpPollConfigSchema, type PollSource } from './config.ts';
import { parsePage, toEvent } from './items.ts';
import { firstPosition, nextLink, stepAfter, urlAt } from './paging.ts';

function source(fields: Readonly<Record<string, unknown>>): PollSource {
  const of = { url: 'https://api.example/v1/orders?limit=5', tenant: 'acme', ...fields };
  const { sources } = httpPollConfigSchema.parse({ sources: { s: of } });
  if (sources['s'] === undefined) throw new Error('unreachable');
  return sources['s'];
}

const page = (count: number, document: unknown = undefined, link?: string) => ({
  count,
  document,
  nextLink: link,
});
const CURSOR = { kind: 'cursor', pointer: '/next', parameter: 'after', hasMorePointer: '/more' };

describe('paging', () => {
  it('by cursor: goes on where the body says, and stays where it says nothing', () => {
    const of = source({ paging: CURSOR });
    const first = firstPosition(of);
    expect(urlAt(of, first).href).toBe('https://api.example/v1/orders?limit=5');
    const second = stepAfter(of, first, page(5, { next: 'a b', more: true }));
    expect(second).toEqual({ position: { kind: 'cursor', at: 'a b', taken: 0 }, more: true });
    expect(urlAt(of, second.position).href).toBe('https://api.example/v1/orders?limit=5&after=a+b');
    const last = { position: { kind: 'cursor', at: 'a b', taken: 3 }, more: false };
    expect(stepAfter(of, second.position, page(3, { next: null }))).toEqual(last);
    // The same page again, as some say at their end.
    expect(stepAfter(of, second.position, page(3, { next: 'a b' }))).toEqual(last);
    // There is nothing more now, but where it will be is known.
    const known = { position: { kind: 'cursor', at: 9, taken: 0 }, more: false };
    expect(stepAfter(of, second.position, page(3, { next: 9, more: false }))).toEqual(known);
  });

  it('by page: a page that is not full is the last, and is read on when it fills', () => {
    const of = source({ url: 'https://api.example/{page}', paging: { kind: 'page', size: 5 } });
    const first = firstPosition(of);
    expect(urlAt(of, first).href).toBe('https://api.example/1');
    const stay = stepAfter(of, first, page(4));
    expect(stay).toEqual({ position: { kind: 'page', at: null, taken: 4 }, more: false });
    expect(stepAfter(of, stay.position, page(5)).position).toEqual({
      kind: 'page',
      at: 2,
      taken: 0,
    });
    // Fewer than before: records were deleted at the source; what is taken is taken.
    expect(stepAfter(of, stay.position, page(2)).position.taken).toBe(4);
  });

  it('by offset: counts what came', () => {
    const of = source({ paging: { kind: 'offset', size: 5, sizeParameter: 'limit' } });
    const step = stepAfter(of, firstPosition(of), page(3));
    expect(step).toEqual({ position: { kind: 'offset', at: 3, taken: 0 }, more: false });
    expect(urlAt(of, step.position).searchParams.toString()).toBe('limit=5&offset=3');
    expect(stepAfter(of, step.position, page(0)).position).toEqual({ ...step.position, taken: 0 });
  });

  it('begins anew at the end of each round, where it is to', () => {
    const of = source({ rounds: 'restart', paging: { kind: 'link' } });
    const step = stepAfter(of, firstPosition(of), page(5, undefined, 'https://api.example/2'));
    expect(step.more).toBe(true);
    expect(urlAt(of, step.position).href).toBe('https://api.example/2');
    expect(stepAfter(of, step.position, page(5))).toEqual({
      position: firstPosition(of),
      more: false,
    });
  });

  it.each([
    ['<https://a.example/2>; rel="next"', 'https://a.example/2'],
    ['</2?a=1,2>; rel=next', 'https://a.example/2?a=1,2'],
    ['<?p=0>; rel="prev", <?p=2>; title="x"; rel="last next"', 'https://a.example/list?p=2'],
    ['<?p=0>; rel="prev"', undefined],
    ['<http://[>; rel="next"', undefined],
    [undefined, undefined],
  ])('Link: %s', (header, target) => {
    expect(nextLink(header, new URL('https://a.example/list'))).toBe(target);
  });
});

describe('addresses', () => {
  it.each([
    ['127.0.0.1', true],
    ['10.1.2.3', true],
    ['169.254.169.254', true],
    ['172.31.255.255', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['::ffff:a00:1', true],
    ['fd00::1', true],
    ['fe80::1', true],
    ['64:ff9b::7f00:1', true],
    ['no address', true],
    ['8.8.8.8', false],
    ['172.32.0.1', false],
    ['2606:4700::1111', false],
    ['::ffff:8.8.8.8', false],
  ])('%s is private: %s', (address, isPrivate) => {
    expect(isPrivateAddress(address)).toBe(isPrivate);
  });
});

describe('records', () => {
  it('keep numbers as they came', () => {
    const text = '[{"id":12345678901234567890,"price":0.10,"n":1e400,"list":[1,2.50],"s":"1.0"}]';
    expect(JSON.stringify(parseExact(text))).toBe(text);
    const of = source({});
    const [item] = parsePage(of, Buffer.from(text)).items;
    const { key, value } = toEvent('orders', of, item, 7);
    expect(value.payload).toBe(text.slice(1, -1));
    expect(value.event_id).toBe('orders:12345678901234567890');
    expect(key).toBe('acme:12345678901234567890');
  });

  it('have the same id each time, of one pointer, several or none', () => {
    const several = source({ idPointers: ['/id', '/updated'] });
    expect(toEvent('s', several, { id: 1, updated: 'now' }, 7).value.delivery_id).toBe('1:now');
    const hashed = toEvent('s', several, { id: 1 }, 7).value.delivery_id;
    expect(hashed).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(toEvent('s', several, { id: 1 }, 8).value.delivery_id).toBe(hashed);
  });

  it('come of CSV by their columns', () => {
    const of = source({ format: 'csv' });
    const csv = '\uFEFFid,name\n1,"a, ""b"""\n2,é\n';
    expect(parsePage(of, Buffer.from(csv)).items).toEqual([
      { id: '1', name: 'a, "b"' },
      { id: '2', name: 'é' },
    ]);
    expect(parsePage(of, Buffer.from('\n')).items).toEqual([]);
  });

  it('are refused without a tenant, and where there is no list', () => {
    const of = source({ tenant: undefined, tenantPointer: '/tenant' });
    expect(() => toEvent('s', of, { id: 1 }, 7)).toThrow(/names no usable tenant/);
    expect(() => parsePage(of, Buffer.from('{"data":[]}'))).toThrow(/no list/);
    expect(() => parsePage(of, Buffer.from('[1,'))).toThrow(/no JSON/);
  });
});
