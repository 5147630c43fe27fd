import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataDirFor, isReachable, postgresUser } from './place.ts';

const passwd = [
  'root:x:0:0:root:/root:/bin/bash',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
  'ada:x:1000:1001:Ada:/home/ada:/bin/bash',
  '',
].join('\n');

describe('postgresUser', () => {
  it('is ourselves when we are not root', () => {
    expect(postgresUser(1000, {}, passwd)).toBeUndefined();
  });

  it('is who called sudo, else postgres, else nobody', () => {
    const withPostgres = `${passwd}postgres:x:110:120::/var/lib/postgresql:/bin/sh\n`;
    expect(postgresUser(0, { SUDO_UID: '1000' }, passwd)).toEqual({ uid: 1000, gid: 1001 });
    expect(postgresUser(0, { SUDO_UID: '0' }, withPostgres)).toEqual({ uid: 110, gid: 120 });
    expect(postgresUser(0, {}, passwd)).toEqual({ uid: 65_534, gid: 65_534 });
    expect(() => postgresUser(0, {}, 'root:x:0:0::/:/bin/sh\n')).toThrow(
      expect.objectContaining({ code: 'STACK_NO_UNPRIVILEGED_USER' }),
    );
  });
});

describe('the place of the data', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'reachflow-place-'));
    mkdirSync(join(dir, 'data'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('is where it was wanted, unless a parent shuts the user out', () => {
    const user = { uid: 54_321, gid: 54_321 };
    const wanted = join(dir, 'data', 'postgres');
    chmodSync(dir, 0o711);
    expect(isReachable(wanted, user)).toBe(true);
    expect(dataDirFor(wanted, user)).toBe(wanted);

    chmodSync(dir, 0o700);
    expect(isReachable(wanted, user)).toBe(false);
    expect(dataDirFor(wanted, user)).toMatch(/^\/var\/tmp\/reachflow-postgres-data-[0-9a-f]{12}$/);
    expect(dataDirFor(join(dir, 'data', 'other'), user)).not.toBe(dataDirFor(wanted, user));
    expect(dataDirFor(wanted, undefined)).toBe(wanted);
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    expect(isReachable(wanted, owner)).toBe(true);
  });
});
