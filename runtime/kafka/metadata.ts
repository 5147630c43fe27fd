import { METADATA, WireReader, type WireRequest, WireWriter } from './wire.ts';

/** A topic, as a broker knows it. Names are the brokers'. */
export interface TopicMetadata {
  readonly topic: string;
  /** Error code of the protocol; 0 where the broker knows the topic. */
  readonly code: number;
  /** Node id of each partition's leader; -1 where it has none. */
  readonly leaders: readonly number[];
}

/** What a broker knows of its cluster. */
export interface ClusterMetadata {
  readonly brokers: readonly {
    readonly id: number;
    readonly host: string;
    readonly port: number;
  }[];
  /** Node id of who creates topics: the controller, or any broker where brokers forward to it (KIP-590); -1 for none. */
  readonly controller: number;
  readonly topics: readonly TopicMetadata[];
}

/** Asks for topics, or for all of them. Creates none. */
export function metadataRequest(topics: readonly string[] | 'all'): WireRequest {
  const body = new WireWriter(64).int32(topics === 'all' ? -1 : topics.length);
  if (topics !== 'all') for (const topic of topics) body.string(topic);
  return { api: METADATA, body: [body.int8(0).done()] };
}

/** Decodes the answer to `metadataRequest`. */
export function parseMetadata(payload: Buffer): ClusterMetadata {
  const reader = new WireReader(payload);
  reader.int32();
  const brokers = reader.array(() => {
    const [id, host, port] = [reader.int32(), reader.string(), reader.int32()];
    reader.string();
    return { id, host, port };
  });
  reader.string();
  const controller = reader.int32();
  return { brokers, controller, topics: reader.array(() => readTopic(reader)) };
}

function readTopic(reader: WireReader): TopicMetadata {
  const code = reader.int16();
  const topic = reader.string();
  reader.int8();
  const leaders: number[] = [];
  reader.array(() => {
    reader.int16();
    leaders[reader.int32()] = reader.int32();
    for (let lists = 0; lists < 3; lists += 1) reader.array(() => reader.int32());
  });
  return { topic, code, leaders };
}
