import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type BuildContext,
  isProvisioned,
  type ProvisionUnit,
  provisionUnit,
  unitHome,
} from './unit.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reachflow-unit-'));
  writeFileSync(join(root, 'pom.xml'), 'version 1');
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const context: Omit<BuildContext, 'outputDir'> = {
  jdk: { home: '/jdk', major: 25, version: '25' },
  mvn: '/mvn',
  home: () => '/home',
  onProgress: () => undefined,
};

function unit(build: ProvisionUnit['build']): ProvisionUnit {
  return {
    name: 'kafka',
    component: 'kafka',
    inputs: [join(root, 'pom.xml')],
    needs: [],
    build,
  };
}

const writesJar: ProvisionUnit['build'] = async ({ outputDir }) => {
  mkdirSync(join(outputDir, 'lib'));
  writeFileSync(join(outputDir, 'lib', 'a.jar'), 'content');
};

describe('provisionUnit', () => {
  it('makes it once, and again when it was damaged', async () => {
    let builds = 0;
    const counted = unit(async (call) => {
      builds += 1;
      await writesJar(call);
    });
    const home = unitHome(root, counted);
    expect(await provisionUnit(root, counted, context)).toBe('made');
    expect(await provisionUnit(root, counted, context)).toBe('cached');
    expect(builds).toBe(1);

    writeFileSync(join(home, 'lib', 'a.jar'), 'cut');
    expect(isProvisioned(home)).toBe(false);
    expect(await provisionUnit(root, counted, context)).toBe('made');
    expect(isProvisioned(home)).toBe(true);
    rmSync(join(home, 'lib', 'a.jar'));
    expect(isProvisioned(home)).toBe(false);
  });

  it('gives another input another directory', () => {
    const before = unitHome(root, unit(writesJar));
    writeFileSync(join(root, 'pom.xml'), 'version 2');
    expect(unitHome(root, unit(writesJar))).not.toBe(before);
  });

  it('leaves nothing that looks finished when the build fails, and clears what it left', async () => {
    const failing = unit(async ({ outputDir }) => {
      writeFileSync(join(outputDir, 'half.jar'), 'x');
      throw new Error('no network');
    });
    await expect(provisionUnit(root, failing, context)).rejects.toThrow('no network');
    expect(isProvisioned(unitHome(root, failing))).toBe(false);

    await provisionUnit(root, unit(writesJar), context);
    const names = readdirSync(join(root, 'embedded'));
    expect(names.filter((name) => name.includes('making'))).toEqual([]);
    expect(existsSync(join(unitHome(root, failing), 'half.jar'))).toBe(false);
  });

  it('builds once when two ask at the same time', async () => {
    let builds = 0;
    const slow = unit(async (call) => {
      builds += 1;
      await new Promise((resolve) => setTimeout(resolve, 150));
      await writesJar(call);
    });
    const outcomes = await Promise.all([
      provisionUnit(root, slow, context),
      provisionUnit(root, slow, context),
    ]);
    expect(outcomes.sort()).toEqual(['cached', 'made']);
    expect(builds).toBe(1);
  });
});
