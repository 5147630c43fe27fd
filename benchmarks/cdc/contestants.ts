/** Settings of a connector, as Connect names them. */
export type Overrides = Readonly<Record<string, string>>;

/** A converter in the same worker, with the same connector. */
export interface Contestant {
  readonly name: string;
  /** Part of its namespace: lower-case letters. */
  readonly label: string;
  /** What it changes in our configuration: converters alone. */
  readonly overrides: Overrides;
  /** The row's id, from its record's key. */
  readonly idOf: (key: Buffer) => number;
}

/** The magic byte and the schema's id. */
const HEADER_BYTES = 5;

/** The key is a record of one `long`, a positive one: variable length, doubled by zigzag. Source: Avro 1.12, "Binary encoding". */
function idOfAvro(key: Buffer): number {
  let doubled = 0;
  let factor = 1;
  for (const byte of key.subarray(HEADER_BYTES)) {
    doubled += (byte & 0x7f) * factor;
    factor *= 128;
  }
  return doubled / 2;
}

function idOfJson(key: Buffer): number {
  const { id } = JSON.parse(key.toString('utf8')) as { readonly id: number };
  return id;
}

function both(settings: Overrides): Overrides {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => [
      [`key.converter${name}`, value],
      [`value.converter${name}`, value],
    ]),
  );
}

/** Ours first. @param registryUrl base of the registry's Confluent API, which runs on Apicurio. */
export function contestants(registryUrl: string): readonly Contestant[] {
  const json = { '': 'org.apache.kafka.connect.json.JsonConverter', '.schemas.enable': 'false' };
  const stock = {
    '': 'io.apicurio.registry.utils.converter.AvroConverter',
    '.apicurio.registry.url': new URL('/apis/registry/v2', registryUrl).href,
    '.apicurio.registry.auto-register': 'true',
    '.apicurio.registry.find-latest': 'true',
    '.apicurio.registry.headers.enabled': 'false',
    '.apicurio.registry.use-id': 'contentId',
    '.apicurio.registry.id-handler': 'io.apicurio.registry.serde.Legacy4ByteIdHandler',
    '.apicurio.registry.artifact-resolver-strategy':
      'io.apicurio.registry.serde.strategy.TopicIdStrategy',
  };
  return [
    { name: 'reachflow (Avro)', label: 'ours', overrides: {}, idOf: idOfAvro },
    { name: 'JSON without schemas', label: 'json', overrides: both(json), idOf: idOfJson },
    { name: 'Apicurio (Avro)', label: 'stock', overrides: both(stock), idOf: idOfAvro },
  ];
}
