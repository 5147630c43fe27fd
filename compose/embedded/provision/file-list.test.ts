import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatFileList, parseFileList, verifyFiles } from './file-list.ts';

let root: string;
let list: string;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'reachflow-list-'));
  mkdirSync(join(root, 'lib', 'sub'), { recursive: true });
  writeFileSync(join(root, 'lib', 'a.jar'), 'abc');
  writeFileSync(join(root, 'lib', 'sub', 'b c.jar'), '');
  list = join(root, 'files.sha256');
  writeFileSync(list, await formatFileList(join(root, 'lib')));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

describe('verifyFiles', () => {
  it('accepts exactly the files of the list, hashed with SHA-256', async () => {
    await verifyFiles(join(root, 'lib'), list);
    // FIPS 180-2, appendix B.1: the digest of "abc".
    expect(parseFileList(await formatFileList(join(root, 'lib'))).get('a.jar')).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });

  it.each([
    ['another content', () => writeFileSync(join(root, 'lib', 'a.jar'), 'abd'), 'a.jar (another'],
    ['a file too many', () => writeFileSync(join(root, 'lib', 'x.jar'), ''), 'x.jar (not expected'],
    ['a file that lacks', () => rmSync(join(root, 'lib', 'sub', 'b c.jar')), 'b c.jar (missing'],
  ])('names %s', async (_what, change, text) => {
    change();
    await expect(verifyFiles(join(root, 'lib'), list)).rejects.toMatchObject({
      code: 'STACK_CHECKSUM_MISMATCH',
      message: expect.stringContaining(text),
    });
  });
});
