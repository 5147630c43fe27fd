/**
 * A ClickHouse server in a process of its own: `chdb` ships the whole engine as a library, and its
 * `clickhouse-local` mode can open the real HTTP and TCP listeners (SYSTEM START LISTEN). The call below does
 * not return until standard input ends, so this file must be the process's main one.
 *
 * Arguments: data directory, HTTP port, TCP port, configuration file.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { arrayConstructor, DataType, isNullPointer, load, open } from 'ffi-rs';

const [dataDir, httpPort, tcpPort, configFile] = process.argv.slice(2);

/** The native library is a dependency of `chdb`, not ours: look for it from there. */
function libraryPath(): string {
  const chdb = createRequire(import.meta.url).resolve('chdb');
  const platformPackage = `@chdb/lib-linux-${process.arch}-gnu`;
  return join(dirname(createRequire(chdb).resolve(platformPackage)), 'libchdb.so');
}

const argv = [
  'clickhouse',
  `--path=${dataDir}`,
  '--listen_host=127.0.0.1',
  `--http_port=${httpPort}`,
  `--tcp_port=${tcpPort}`,
  `--config-file=${configFile}`,
  '--log-level=warning', // The configuration file's level is not heeded in this mode.
  '--query',
  [
    'SYSTEM START LISTEN HTTP',
    'SYSTEM START LISTEN TCP',
    // Keeps the query, and with it the listeners, alive until standard input ends.
    "SELECT count() FROM file('-', 'LineAsString', 'line String') FORMAT Null",
  ].join('; '),
];

open({ library: 'chdb', path: libraryPath() });
const result = load({
  library: 'chdb',
  funcName: 'chdb_query_cmdline',
  retType: DataType.External,
  paramsType: [DataType.I32, arrayConstructor({ type: DataType.StringArray, length: argv.length })],
  paramsValue: [argv.length, argv],
});
// A null error read as a string would crash the process: it is read as a pointer first.
const error = load({
  library: 'chdb',
  funcName: 'chdb_result_error',
  retType: DataType.External,
  paramsType: [DataType.External],
  paramsValue: [result],
});
process.exitCode = isNullPointer(error) ? 0 : 1;
