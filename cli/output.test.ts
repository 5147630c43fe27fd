import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { table } from './output.ts';

describe('table', () => {
  it('lines columns up, without trailing spaces', () => {
    const text = stripVTControlCharacters(
      table(
        ['name', 'n'],
        [
          ['contacts', '1'],
          ['é', '20'],
        ],
      ),
    );
    expect(text.split('\n')).toEqual(['name      n', 'contacts  1', 'é         20']);
  });

  it('is its heading when there are no rows', () => {
    expect(stripVTControlCharacters(table(['name'], []))).toBe('name');
  });
});
