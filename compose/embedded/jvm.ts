import { closeSync, mkdirSync, openSync, readSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { StartContext } from './component.ts';
import type { UnitName } from './provision/unit.ts';

export interface JvmOptions {
  /** Names the class data archive. */
  readonly name: string;
  /** The unit with the class path: another build of it needs another archive. */
  readonly unit: UnitName;
  readonly heapMegabytes: number;
  /** `quick`: only the first compiler, for engines that start often and compute little. */
  readonly compiler: 'quick' | 'full';
}

/**
 * JVM flags for a small, quickly starting engine: serial collector, bounded code cache, and an archive of the
 * loaded classes (JEP 350, JDK-8261455). The JVM writes the archive at the end of a run that had none, and runs
 * without it when it does not fit: it can never fail a start.
 */
export function jvmFlags(context: StartContext, options: JvmOptions): string[] {
  return [
    `-Xms${Math.round(options.heapMegabytes / 4)}m`,
    `-Xmx${options.heapMegabytes}m`,
    '-XX:+UseSerialGC',
    ...(options.compiler === 'quick' ? ['-XX:TieredStopAtLevel=1'] : []),
    '-XX:ReservedCodeCacheSize=96m',
    '-XX:+ExitOnOutOfMemoryError',
    '-Xshare:auto',
    '-XX:+AutoCreateSharedArchive',
    `-XX:SharedArchiveFile=${archiveFile(context, options)}`,
    // Its remarks about the archive concern nobody; other warnings go to the log as usual.
    '-Xlog:disable',
    '-Xlog:all=warning:stderr:uptime,level,tags',
    '-Xlog:cds=off',
    '-Xlog:cds+dynamic=off',
    '-Xlog:aot=off',
    '-Djava.awt.headless=true',
    '-Dfile.encoding=UTF-8',
  ];
}

function archiveFile(context: StartContext, { name, unit }: JvmOptions): string {
  const directory = join(context.cacheDir, 'embedded', 'class-data');
  mkdirSync(directory, { recursive: true });
  const build = basename(context.home(unit));
  const file = join(directory, `${name}-${build}-jdk${context.jdk().version}.jsa`);
  if (!isArchive(file)) rmSync(file, { force: true });
  return file;
}

/** First bytes of a dynamic archive: CDS_DYNAMIC_ARCHIVE_MAGIC of HotSpot's cds.h, written when it is complete. */
const MAGIC = 0xf00baba8;

/** The JVM does not replace a file that is no archive at all, such as one whose writer was killed. */
function isArchive(file: string): boolean {
  const start = Buffer.alloc(4);
  try {
    const descriptor = openSync(file, 'r');
    try {
      return readSync(descriptor, start, 0, 4, 0) === 4 && start.readUInt32LE(0) === MAGIC;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return false;
  }
}
