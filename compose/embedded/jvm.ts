import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { StartContext } from './component.ts';

export interface JvmOptions {
  /** Names the class data archive. */
  readonly name: string;
  readonly heapMegabytes: number;
  /** `quick`: only the first compiler, for engines that start often and compute little. */
  readonly compiler: 'quick' | 'full';
}

/**
 * JVM flags for a small, quickly starting engine: serial collector, bounded code cache, and an archive of the
 * loaded classes (JEP 350, JDK-8261455). The JVM writes the archive at the end of the first run, replaces it
 * when classes or JDK change, and ignores it when it does not fit: it can never fail a start.
 */
export function jvmFlags(context: StartContext, options: JvmOptions): string[] {
  const directory = join(context.cacheDir, 'embedded', 'class-data');
  mkdirSync(directory, { recursive: true });
  const archive = join(directory, `${options.name}-jdk${context.jdk().version}.jsa`);
  return [
    `-Xms${Math.round(options.heapMegabytes / 4)}m`,
    `-Xmx${options.heapMegabytes}m`,
    '-XX:+UseSerialGC',
    ...(options.compiler === 'quick' ? ['-XX:TieredStopAtLevel=1'] : []),
    '-XX:ReservedCodeCacheSize=96m',
    '-XX:+ExitOnOutOfMemoryError',
    '-Xshare:auto',
    '-XX:+AutoCreateSharedArchive',
    `-XX:SharedArchiveFile=${archive}`,
    '-Xlog:disable',
    '-Xlog:all=warning:stderr:uptime,level,tags',
    '-Xlog:cds=off',
    '-Xlog:aot=off',
    '-Djava.awt.headless=true',
    '-Dfile.encoding=UTF-8',
  ];
}
