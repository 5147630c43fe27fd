/**
 * What a change of an Avro schema breaks, by the specification's rules of schema resolution; every place with its path
 * and reason, where a resolver stops at the first. Pure.
 */

/** Compatibility levels of the registry. `BACKWARD`: the new schema reads what the last one wrote. */
export const COMPATIBILITY_LEVELS = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const;

export type CompatibilityLevel = (typeof COMPATIBILITY_LEVELS)[number];

/** A place where a reader cannot make out what a writer wrote. */
export interface Incompatibility {
  /** Fields from the root, joined by dots; `[]` for items, `{}` for a map's values; '' is the root. */
  readonly path: string;
  readonly reason: string;
}

export interface Violation extends Incompatibility {
  readonly direction: 'backward' | 'forward';
  /** Of the earlier versions, 1 for the first. */
  readonly version: number;
}

export interface Verdict {
  readonly level: CompatibilityLevel;
  readonly compatible: boolean;
  /** Empty when compatible. */
  readonly violations: readonly Violation[];
}

type Schema = string | readonly Schema[] | Readonly<Record<string, unknown>>;

interface Named {
  readonly [key: string]: unknown;
  readonly type: string;
}

interface FieldNode {
  readonly name: string;
  readonly type: Schema;
  readonly aliases?: readonly string[];
  readonly default?: unknown;
}

/** Primitive types that a reader takes in place of another, by the writer's. */
const PROMOTIONS: Readonly<Record<string, readonly string[]>> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string'],
};
const NAMED = ['record', 'error', 'enum', 'fixed'];

/**
 * The verdict at each level of a schema against the versions before it. @param earlier oldest first; texts of schemas.
 * @throws SyntaxError for what is no JSON.
 */
export function verdicts(current: string, earlier: readonly string[]): readonly Verdict[] {
  const all = earlier.flatMap((before, i) => {
    const version = i + 1;
    const backward = incompatibilities(current, before);
    const forward = incompatibilities(before, current);
    return [
      ...backward.map((found) => ({ ...found, direction: 'backward' as const, version })),
      ...forward.map((found) => ({ ...found, direction: 'forward' as const, version })),
    ];
  });
  return COMPATIBILITY_LEVELS.map((level) => {
    const violations = all.filter((violation) => counts(level, violation, earlier.length));
    return { level, compatible: violations.length === 0, violations };
  });
}

function counts(level: CompatibilityLevel, { direction, version }: Violation, last: number) {
  if (level === 'NONE') return false;
  if (version < last && !level.endsWith('_TRANSITIVE')) return false;
  if (level.startsWith('FULL')) return true;
  return level.startsWith('BACKWARD') === (direction === 'backward');
}

/**
 * What in `reader` cannot read what `writer` wrote; empty when all of it can. Names are compared without their
 * namespace, as the registry does.
 * @throws SyntaxError for what is no JSON.
 */
export function incompatibilities(reader: string, writer: string): readonly Incompatibility[] {
  const schemas: [Schema, Schema] = [JSON.parse(reader) as Schema, JSON.parse(writer) as Schema];
  return new Comparison(...schemas).result();
}

class Comparison {
  readonly #reader: Schema;
  readonly #writer: Schema;
  readonly #readerTypes: ReadonlyMap<string, Named>;
  readonly #writerTypes: ReadonlyMap<string, Named>;
  /** Pairs of named types that are compared already, or being so: schemas may be recursive. */
  readonly #seen = new Set<string>();

  constructor(reader: Schema, writer: Schema) {
    this.#reader = reader;
    this.#writer = writer;
    this.#readerTypes = namedTypes(reader);
    this.#writerTypes = namedTypes(writer);
  }

  result(): readonly Incompatibility[] {
    return this.#compare(this.#reader, this.#writer, '');
  }

  #compare(readerNode: Schema, writerNode: Schema, path: string): Incompatibility[] {
    const reader = resolve(readerNode, this.#readerTypes);
    const writer = resolve(writerNode, this.#writerTypes);
    if (isUnion(writer)) return writer.flatMap((branch) => this.#compare(reader, branch, path));
    if (isUnion(reader)) return this.#compareWithUnion(reader, writer, path);
    const [readerType, writerType] = [typeOf(reader), typeOf(writer)];
    if (readerType !== writerType) {
      if (PROMOTIONS[writerType]?.includes(readerType) === true) return [];
      return [{ path, reason: `${nameOf(writer)} cannot be read as ${nameOf(reader)}` }];
    }
    if (readerType === 'array') {
      return this.#compare(child(reader, 'items'), child(writer, 'items'), `${path}[]`);
    }
    if (readerType === 'map') {
      return this.#compare(child(reader, 'values'), child(writer, 'values'), `${path}{}`);
    }
    if (!NAMED.includes(readerType)) return [];
    return this.#compareNamed(reader as Named, writer as Named, path);
  }

  #compareWithUnion(reader: readonly Schema[], writer: Schema, path: string): Incompatibility[] {
    const attempts = reader.map((branch) => {
      // What is found while a branch is tried may not stay: another one may be the right one.
      const before = new Set(this.#seen);
      const found = this.#compare(branch, writer, path);
      if (found.length > 0) {
        this.#seen.clear();
        for (const pair of before) this.#seen.add(pair);
      }
      return { branch: resolve(branch, this.#readerTypes), found };
    });
    if (attempts.some(({ found }) => found.length === 0)) return [];
    const same = attempts.find(({ branch }) => nameOf(branch) === nameOf(writer));
    if (same !== undefined) return same.found;
    const branches = attempts.map(({ branch }) => nameOf(branch)).join(', ');
    return [{ path, reason: `${nameOf(writer)} is not among ${branches}` }];
  }

  #compareNamed(reader: Named, writer: Named, path: string): Incompatibility[] {
    const pair = `${fullName(reader)} ${fullName(writer)}`;
    if (this.#seen.has(pair)) return [];
    this.#seen.add(pair);
    if (!namesMatch(reader, writer)) {
      const [now, before] = [fullName(reader), fullName(writer)];
      return [{ path, reason: `the name ${before} is not ${now}, nor an alias of it` }];
    }
    if (reader.type === 'enum') return compareEnums(reader, writer, path);
    if (reader.type === 'fixed') return compareFixed(reader, writer, path);
    return this.#compareFields(reader, writer, path);
  }

  #compareFields(reader: Named, writer: Named, path: string): Incompatibility[] {
    const written = fieldsOf(writer);
    return fieldsOf(reader).flatMap((field) => {
      const at = path === '' ? field.name : `${path}.${field.name}`;
      const names = [field.name, ...(field.aliases ?? [])];
      const source = written.find(({ name }) => names.includes(name));
      if (source !== undefined) return this.#compare(field.type, source.type, at);
      if (Object.hasOwn(field, 'default')) return [];
      return [{ path: at, reason: 'it is not written, and has no default' }];
    });
  }
}

function compareEnums(reader: Named, writer: Named, path: string): Incompatibility[] {
  if (reader['default'] !== undefined) return [];
  const known = reader['symbols'] as readonly string[];
  const missing = (writer['symbols'] as readonly string[]).filter((name) => !known.includes(name));
  return missing.length === 0
    ? []
    : [{ path, reason: `the symbols ${missing.join(', ')} are unknown, and there is no default` }];
}

function compareFixed(reader: Named, writer: Named, path: string): Incompatibility[] {
  if (reader['size'] === writer['size']) return [];
  return [{ path, reason: `${writer['size']} bytes are not ${reader['size']}` }];
}

function isUnion(node: Schema): node is readonly Schema[] {
  return Array.isArray(node);
}

/** A type without the layers that say nothing: `{"type": {…}}`, and names of types defined elsewhere. */
function resolve(node: Schema, types: ReadonlyMap<string, Named>): Schema {
  if (typeof node === 'string') return types.get(shortName(node)) ?? node;
  if (isUnion(node)) return node;
  const { type } = node;
  return typeof type === 'object' && type !== null ? resolve(type as Schema, types) : node;
}

function typeOf(node: Schema): string {
  return typeof node === 'string' ? node : String((node as Named).type);
}

function nameOf(node: Schema): string {
  if (isUnion(node)) return 'union';
  const isNamed = typeof node === 'object' && NAMED.includes(typeOf(node));
  return isNamed ? `${typeOf(node)} ${fullName(node as Named)}` : typeOf(node);
}

function child(node: Schema, name: 'items' | 'values'): Schema {
  return (node as Readonly<Record<string, unknown>>)[name] as Schema;
}

function fieldsOf(record: Named): readonly FieldNode[] {
  return record['fields'] as readonly FieldNode[];
}

function shortName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

function fullName(named: Named): string {
  const [name, namespace] = [String(named['name']), named['namespace']];
  return name.includes('.') || typeof namespace !== 'string' ? name : `${namespace}.${name}`;
}

function namesMatch(reader: Named, writer: Named): boolean {
  const aliases = (reader['aliases'] as readonly string[] | undefined) ?? [];
  const names = [fullName(reader), ...aliases].map(shortName);
  return names.includes(shortName(fullName(writer)));
}

/** Named types of a schema by their name without namespace. */
function namedTypes(root: Schema): ReadonlyMap<string, Named> {
  const found = new Map<string, Named>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) for (const branch of node) visit(branch);
    if (typeof node !== 'object' || node === null || Array.isArray(node)) return;
    const { type, name, items, values, fields } = node as Record<string, unknown>;
    if (typeof type === 'string' && NAMED.includes(type))
      found.set(shortName(String(name)), node as Named);
    for (const inner of [type, items, values]) if (typeof inner === 'object') visit(inner);
    if (Array.isArray(fields)) for (const field of fields) visit((field as FieldNode).type);
  };
  visit(root);
  return found;
}
