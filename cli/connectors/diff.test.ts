import { describe, expect, it } from 'vitest';
import { configChanges, diffText } from './diff.ts';

describe('the difference of two configurations', () => {
  it('has what is new, other or gone, and not what Connect adds', () => {
    const found = { name: 'c', same: '1', other: '1', gone: '1' };
    expect(configChanges(found, { same: '1', other: '2', more: '3' })).toEqual([
      { key: 'gone', from: '1', to: undefined },
      { key: 'more', from: undefined, to: '3' },
      { key: 'other', from: '1', to: '2' },
    ]);
    expect(configChanges({ name: 'c', a: '1' }, { a: '1' })).toEqual([]);
  });

  it('says that a secret changes, and not what it is or was', () => {
    const changes = configChanges(
      { 'database.password': 'old-one', url: 'http://u:geheim@h' },
      { 'database.password': 'new-one', url: 'http://u:geheimer@h' },
    );
    const text = diffText('c', true, changes);
    expect(text).toContain('database.password = [redacted] → [redacted] (another)');
    expect(text).not.toMatch(/old-one|new-one|geheim/);
    const made = diffText('c', false, configChanges(undefined, { 'database.password': 'new-one' }));
    expect(made).toContain('+ database.password = [redacted]');
    expect(made).not.toContain('new-one');
  });

  it('says so when there is none', () => {
    expect(diffText('c', true, [])).toBe('c: is as configured');
  });
});
