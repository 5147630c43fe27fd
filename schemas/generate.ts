/**
 * Writes `schemas/types.ts` from `schemas/avro/*.avsc`.
 * `node schemas/generate.ts` writes; `node schemas/generate.ts --check` exits 1 when the file is stale.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

type AvroNode = string | AvroNode[] | { readonly [key: string]: unknown };

interface RecordNode {
  readonly name: string;
  readonly namespace: string;
  readonly doc: string | undefined;
  readonly fields: readonly {
    readonly name: string;
    readonly type: AvroNode;
    readonly doc?: string;
    /** The codec fills and reads it: code that works with values does not see it. */
    readonly codec?: boolean;
  }[];
}

const AVRO_DIR = new URL('./avro/', import.meta.url);
const OUTPUT = new URL('./types.ts', import.meta.url);

const PRIMITIVES: Readonly<Record<string, string>> = {
  null: 'null',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  float: 'number',
  double: 'number',
  bytes: 'Buffer',
  string: 'string',
};

function pascal(text: string): string {
  return text
    .split(/[^a-zA-Z0-9]+/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
}

/** Collects every record of the schemas by full name; the same name must mean the same record. */
function collectRecords(files: readonly string[]): Map<string, RecordNode> {
  const records = new Map<string, RecordNode>();
  for (const file of files) {
    visit(JSON.parse(readFileSync(new URL(file, AVRO_DIR), 'utf8')) as AvroNode, '', (record) => {
      const fullName = `${record.namespace}.${record.name}`;
      const known = records.get(fullName);
      if (known !== undefined && JSON.stringify(known) !== JSON.stringify(record)) {
        throw new Error(`${file}: ${fullName} is defined differently in another schema`);
      }
      records.set(fullName, record);
    });
  }
  return records;
}

function visit(node: AvroNode, namespace: string, onRecord: (record: RecordNode) => void): void {
  if (typeof node === 'string') return;
  if (Array.isArray(node)) {
    for (const branch of node) visit(branch, namespace, onRecord);
    return;
  }
  const own = typeof node['namespace'] === 'string' ? node['namespace'] : namespace;
  if (node['type'] === 'record') {
    const fields = node['fields'] as RecordNode['fields'];
    onRecord({
      name: String(node['name']),
      namespace: own,
      doc: node['doc'] as string | undefined,
      fields,
    });
    for (const field of fields) visit(field.type, own, onRecord);
  } else if (node['type'] === 'array' || node['type'] === 'map') {
    visit((node['items'] ?? node['values']) as AvroNode, own, onRecord);
  } else if (typeof node['type'] === 'object') {
    visit(node['type'] as AvroNode, own, onRecord);
  }
}

/** A record's TypeScript name: its own where that is unique, else with its namespace before it. */
function typeNames(records: ReadonlyMap<string, RecordNode>): Map<string, string> {
  const uses = new Map<string, number>();
  for (const { name } of records.values()) uses.set(name, (uses.get(name) ?? 0) + 1);
  return new Map(
    [...records].map(([fullName, { name, namespace }]) => [
      fullName,
      uses.get(name) === 1 ? name : `${pascal(namespace)}${name}`,
    ]),
  );
}

function tsType(node: AvroNode, namespace: string, names: ReadonlyMap<string, string>): string {
  if (typeof node === 'string') {
    const known = PRIMITIVES[node] ?? names.get(node) ?? names.get(`${namespace}.${node}`);
    if (known === undefined) throw new Error(`unknown Avro type ${node}`);
    return known;
  }
  if (Array.isArray(node)) {
    const branches = node.map((branch) => tsType(branch, namespace, names));
    return [...branches.filter((b) => b !== 'null'), ...branches.filter((b) => b === 'null')].join(
      ' | ',
    );
  }
  if (node['logicalType'] === 'bigint') return 'bigint';
  if (node['type'] === 'array') {
    const item = tsType(node['items'] as AvroNode, namespace, names);
    return item.includes(' ') ? `(${item})[]` : `${item}[]`;
  }
  if (node['type'] === 'map') {
    return `Record<string, ${tsType(node['values'] as AvroNode, namespace, names)}>`;
  }
  if (node['type'] === 'record') {
    const own = typeof node['namespace'] === 'string' ? node['namespace'] : namespace;
    return names.get(`${own}.${String(node['name'])}`) ?? 'never';
  }
  return tsType(node['type'] as AvroNode, namespace, names);
}

function render(): string {
  const files = readdirSync(AVRO_DIR)
    .filter((file) => file.endsWith('.avsc'))
    .sort();
  const records = collectRecords(files);
  const names = typeNames(records);
  const parts = [
    '// Generated from schemas/avro/*.avsc by `npm run generate`. Do not edit.',
    '// `timestamp-millis` is a number of milliseconds since the epoch; logical type `bigint` is a bigint.',
    '',
  ];
  for (const [fullName, record] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (record.doc !== undefined) parts.push(`/** ${record.doc} */`);
    parts.push(`export interface ${names.get(fullName)} {`);
    for (const field of record.fields) {
      if (field.codec === true) continue;
      if (field.doc !== undefined) parts.push(`  /** ${field.doc} */`);
      parts.push(`  ${field.name}: ${tsType(field.type, record.namespace, names)};`);
    }
    parts.push('}', '');
  }
  return parts.join('\n');
}

const fresh = render();
if (process.argv.includes('--check')) {
  const stale = readFileSync(OUTPUT, 'utf8') !== fresh;
  process.stdout.write(
    stale ? 'schemas/types.ts is stale: run `npm run generate`\n' : 'schemas/types.ts is fresh\n',
  );
  process.exitCode = stale ? 1 : 0;
} else {
  writeFileSync(OUTPUT, fresh);
}
