import { accessSync, constants, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { ReachflowError } from '../../runtime/errors.ts';
import { dockerHint } from './platform.ts';

/** Elasticsearch 9 and its plugin need it; the other engines are content with 17. */
export const MINIMUM_JDK = 21;
/** The newest release that all the engines were tried on: preferred over later ones. */
export const PREFERRED_JDK = 25;

export interface Jdk {
  readonly home: string;
  readonly major: number;
  /** As in its `release` file, e.g. `25.0.1`. */
  readonly version: string;
}

/** Where to look; tests pass their own. */
export interface ToolEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Directories whose children are JDKs. */
  readonly jdkParents: readonly string[];
}

/** This process's environment and the places where package managers put JDKs. */
export function systemEnvironment(): ToolEnvironment {
  const home = process.env['HOME'] ?? '/nonexistent';
  return {
    env: process.env,
    jdkParents: [
      '/usr/lib/jvm',
      '/usr/java',
      '/opt/java',
      '/opt/jdk',
      '/home/linuxbrew/.linuxbrew/opt',
      join(home, '.sdkman/candidates/java'),
      join(home, '.jdks'),
      join(home, '.local/share/mise/installs/java'),
      join(home, '.asdf/installs/java'),
    ],
  };
}

/**
 * The best JDK (with a compiler) of at least `MINIMUM_JDK`: `PREFERRED_JDK` or the nearest below it, else the
 * nearest above.
 * @throws ReachflowError `JDK_NOT_FOUND` saying which ones were seen and how to get one.
 */
export function findJdk(tools: ToolEnvironment = systemEnvironment()): Jdk {
  const found = jdkCandidates(tools)
    .map(readJdk)
    .filter((jdk) => jdk !== undefined);
  const best = found.filter((jdk) => jdk.major >= MINIMUM_JDK).sort(byPreference)[0];
  if (best !== undefined) return best;
  const seen = [...new Set(found.map((jdk) => `${jdk.version} in ${jdk.home}`))].join(', ');
  throw new ReachflowError(
    `The embedded engines need a JDK ${MINIMUM_JDK} or newer; found ${seen === '' ? 'none' : `only ${seen}`}.`,
    {
      code: 'JDK_NOT_FOUND',
      domain: 'user',
      hint:
        'Install one (`apt install openjdk-21-jdk-headless`, `brew install openjdk@21` or ' +
        `\`sdk install java 21-tem\`), or point JAVA_HOME at it. ${dockerHint}`,
    },
  );
}

/**
 * The `mvn` command. Only provisioning needs it.
 * @throws ReachflowError `MAVEN_NOT_FOUND` saying how to get it.
 */
export function findMaven(tools: ToolEnvironment = systemEnvironment()): string {
  const homes = [tools.env['MAVEN_HOME'], tools.env['M2_HOME']].filter(isSet);
  const sdkman = join(tools.env['HOME'] ?? '/nonexistent', '.sdkman/candidates/maven/current');
  const directories = [...homes.map((home) => join(home, 'bin')), ...pathDirectories(tools)];
  const found = [...directories, join(sdkman, 'bin')]
    .map((directory) => join(directory, 'mvn'))
    .find(isExecutable);
  if (found !== undefined) return found;
  throw new ReachflowError(
    'Apache Maven (3.6.3 or newer) is missing: it downloads and verifies the embedded engines.',
    {
      code: 'MAVEN_NOT_FOUND',
      domain: 'user',
      hint: `Install it: \`apt install maven\`, \`brew install maven\` or \`sdk install maven\`. ${dockerHint}`,
    },
  );
}

function jdkCandidates(tools: ToolEnvironment): string[] {
  const named = [tools.env['JAVA_HOME'], tools.env['JDK_HOME']].filter(isSet);
  const onPath = pathDirectories(tools)
    .map((directory) => realPath(join(directory, 'java')))
    .filter(isSet)
    .map((java) => dirname(dirname(java)));
  const installed = tools.jdkParents.flatMap((parent) =>
    listDirectory(parent).map((name) => join(parent, name)),
  );
  const homes = [...named, ...onPath, ...installed];
  return [...new Set([...homes, ...homes.map((home) => join(home, 'libexec'))])];
}

/** A JDK's version from its `release` file (JEP 223 format), without running it. */
function readJdk(home: string): Jdk | undefined {
  if (!isExecutable(join(home, 'bin', 'java')) || !isExecutable(join(home, 'bin', 'javac'))) {
    return undefined;
  }
  const release = readText(join(home, 'release'));
  const version = /^JAVA_VERSION="([^"]+)"/m.exec(release ?? '')?.[1];
  const major = Number.parseInt(version ?? '', 10);
  return version === undefined || Number.isNaN(major) ? undefined : { home, major, version };
}

function byPreference(left: Jdk, right: Jdk): number {
  const rank = (jdk: Jdk): number =>
    jdk.major <= PREFERRED_JDK ? PREFERRED_JDK - jdk.major : jdk.major;
  return rank(left) - rank(right);
}

function pathDirectories(tools: ToolEnvironment): string[] {
  return (tools.env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function realPath(file: string): string | undefined {
  try {
    return realpathSync(file);
  } catch {
    return undefined;
  }
}

function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
