import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReachflowError } from '../../runtime/errors.ts';
import { assertPlatform } from './platform.ts';
import { findJdk, findMaven, type ToolEnvironment } from './toolchain.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reachflow-tools-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function executable(file: string): void {
  writeFileSync(file, '#!/bin/sh\n');
  chmodSync(file, 0o755);
}

function makeJdk(name: string, version: string, tools = ['java', 'javac']): string {
  const home = join(root, 'jvm', name);
  mkdirSync(join(home, 'bin'), { recursive: true });
  writeFileSync(join(home, 'release'), `IMPLEMENTOR="X"\nJAVA_VERSION="${version}"\n`);
  for (const tool of tools) executable(join(home, 'bin', tool));
  return home;
}

function tools(env: Record<string, string> = {}): ToolEnvironment {
  return { env: { HOME: root, ...env }, jdkParents: [join(root, 'jvm')] };
}

function errorOf(call: () => unknown): ReachflowError {
  try {
    call();
  } catch (error) {
    if (error instanceof ReachflowError) return error;
    throw error;
  }
  throw new Error('it did not throw');
}

describe('findJdk', () => {
  it('prefers 25, then the nearest below it, then the nearest above', () => {
    makeJdk('a', '27.0.1');
    makeJdk('b', '26');
    expect(findJdk(tools()).major).toBe(26);
    makeJdk('c', '21.0.5');
    expect(findJdk(tools()).major).toBe(21);
    makeJdk('d', '24.0.2');
    expect(findJdk(tools()).major).toBe(24);
    makeJdk('e', '25.0.3');
    expect(findJdk(tools())).toMatchObject({ major: 25, version: '25.0.3' });
  });

  it('looks at JAVA_HOME and follows the java on PATH', () => {
    const home = makeJdk('x', '21');
    const elsewhere: ToolEnvironment = { env: { JAVA_HOME: home }, jdkParents: [] };
    expect(findJdk(elsewhere).home).toBe(home);

    const bin = join(root, 'bin');
    mkdirSync(bin);
    symlinkSync(join(home, 'bin', 'java'), join(bin, 'java'));
    expect(findJdk({ env: { PATH: `/nowhere:${bin}` }, jdkParents: [] }).home).toBe(home);
  });

  it('names what it found when that is too old, and how to get another', () => {
    const home = makeJdk('old', '17.0.15');
    const error = errorOf(() => findJdk(tools()));
    expect(error.code).toBe('JDK_NOT_FOUND');
    expect(error.message).toContain('JDK 21 or newer');
    expect(error.message).toContain(`17.0.15 in ${home}`);
    expect(error.hint).toMatch(/apt install openjdk-21.*brew install.*sdk install/);
    expect(error.hint).toContain('reachflow stack up --engine docker');
  });

  it('does not take a runtime without a compiler, nor a version it cannot read', () => {
    makeJdk('jre', '25', ['java']);
    const odd = makeJdk('odd', '25');
    writeFileSync(join(odd, 'release'), 'JAVA_VERSION=unknown\n');
    expect(errorOf(() => findJdk(tools())).message).toContain('found none');
  });
});

describe('findMaven', () => {
  it('finds mvn on PATH, in MAVEN_HOME and in sdkman', () => {
    const places = ['path', 'maven/bin', '.sdkman/candidates/maven/current/bin'];
    for (const place of places) mkdirSync(join(root, place), { recursive: true });
    executable(join(root, '.sdkman/candidates/maven/current/bin/mvn'));
    expect(findMaven(tools())).toContain('.sdkman');
    executable(join(root, 'path/mvn'));
    expect(findMaven(tools({ PATH: join(root, 'path') }))).toBe(join(root, 'path/mvn'));
    executable(join(root, 'maven/bin/mvn'));
    expect(findMaven(tools({ MAVEN_HOME: join(root, 'maven') }))).toBe(join(root, 'maven/bin/mvn'));
  });

  it('says what it is for, how to get it, and the way without it', () => {
    const error = errorOf(() => findMaven(tools({ PATH: root })));
    expect(error.code).toBe('MAVEN_NOT_FOUND');
    expect(error.message).toContain('3.6.3');
    expect(error.hint).toMatch(/apt install maven.*--engine docker/);
  });
});

describe('assertPlatform', () => {
  it('accepts Linux with glibc, and names the Docker way elsewhere', () => {
    expect(() => assertPlatform('linux-x64', true)).not.toThrow();
    expect(() => assertPlatform('linux-arm64', true)).not.toThrow();
    for (const [platform, glibc] of [
      ['darwin-arm64', false],
      ['win32-x64', false],
      ['linux-x64', false],
    ] as const) {
      const error = errorOf(() => assertPlatform(platform, glibc));
      expect(error.code).toBe('STACK_PLATFORM_UNSUPPORTED');
      expect(error.message).toContain(platform);
      expect(error.hint).toContain('--engine docker');
    }
  });
});
