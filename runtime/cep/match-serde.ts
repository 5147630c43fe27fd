import { ReachflowError } from '../errors.ts';
import { VarintReader, writeVarlong } from '../kafka/varint.ts';
import type { Serde } from '../state/serde.ts';
import type { State } from './automaton.ts';
import type { MatchedEvent, MatchNode, MatchState, PartialMatch } from './match-state.ts';

/*
 * Numbers are zig-zag varints, times are f64, little-endian:
 *
 * `version | fingerprint | next event | events (number, from the one before; time f64; length, value)…
 *  | nodes (step, event, distance back to the node before, 0 for none)… | partial (state, node)… | complete (state, node)…`,
 *
 * each list with its length before it. Events and nodes that several partial matches share are written once.
 */
const VERSION = 1;
/** A varint has at most 10 bytes; an event three of them and its time. */
const NUMBER_BYTES = 10;

/** Serialises what a key has matched so far. @param states of the automaton that reads it again. */
export function matchStateSerde(
  states: readonly State[],
  values: Serde<unknown>,
): Serde<MatchState> {
  const fingerprint = fingerprintOf(states);
  return {
    encode: (state) => new Encoder(values).encode(state, fingerprint),
    decode: (bytes) => decode(bytes, states, fingerprint, values),
  };
}

class Encoder {
  readonly #values: Serde<unknown>;
  readonly #events: MatchedEvent[] = [];
  readonly #eventAt = new Map<MatchedEvent, number>();
  readonly #nodes: MatchNode[] = [];
  readonly #nodeAt = new Map<MatchNode, number>();
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(values: Serde<unknown>) {
    this.#values = values;
  }

  encode({ partial, complete, nextEvent }: MatchState, fingerprint: number): Buffer {
    for (const { last } of partial) this.#collect(last);
    for (const { last } of complete) this.#collect(last);
    this.#events.sort((a, b) => a.number - b.number);
    for (const [index, event] of this.#events.entries()) this.#eventAt.set(event, index);
    const values = this.#events.map(({ value }) => this.#values.encode(value));
    let room = 16 * NUMBER_BYTES;
    for (const value of values) room += 2 * NUMBER_BYTES + 8 + value.length;
    room += 3 * NUMBER_BYTES * this.#nodes.length;
    room += 2 * NUMBER_BYTES * (partial.length + complete.length);
    this.#bytes = Buffer.allocUnsafe(room);
    for (const number of [VERSION, fingerprint, nextEvent]) this.#number(number);
    this.#writeEvents(values);
    this.#writeNodes();
    this.#writeMatches(partial);
    this.#writeMatches(complete);
    return Buffer.from(this.#bytes.subarray(0, this.#at));
  }

  /** A node comes behind the one before it. */
  #collect(last: MatchNode): void {
    const chain: MatchNode[] = [];
    for (let node: MatchNode | undefined = last; node !== undefined; node = node.before) {
      if (this.#nodeAt.has(node)) break;
      chain.push(node);
    }
    for (const node of chain.reverse()) {
      this.#nodeAt.set(node, this.#nodes.push(node) - 1);
      if (this.#eventAt.has(node.event)) continue;
      this.#eventAt.set(node.event, 0);
      this.#events.push(node.event);
    }
  }

  #writeEvents(values: readonly Buffer[]): void {
    this.#number(this.#events.length);
    let before = 0;
    for (const [index, { number, timestamp }] of this.#events.entries()) {
      this.#number(number - before);
      before = number;
      this.#at = this.#bytes.writeDoubleLE(timestamp, this.#at);
      const value = values[index] ?? Buffer.alloc(0);
      this.#number(value.length);
      this.#at += value.copy(this.#bytes, this.#at);
    }
  }

  #writeNodes(): void {
    this.#number(this.#nodes.length);
    for (const [index, { step, event, before }] of this.#nodes.entries()) {
      this.#number(step);
      this.#number(this.#eventAt.get(event) ?? 0);
      this.#number(before === undefined ? 0 : index - (this.#nodeAt.get(before) ?? 0));
    }
  }

  #writeMatches(matches: readonly PartialMatch[]): void {
    this.#number(matches.length);
    for (const { state, last } of matches) {
      this.#number(state.id);
      this.#number(this.#nodeAt.get(last) ?? 0);
    }
  }

  #number(value: number): void {
    this.#at = writeVarlong(this.#bytes, this.#at, value);
  }
}

function decode(
  bytes: Buffer,
  states: readonly State[],
  fingerprint: number,
  values: Serde<unknown>,
): MatchState {
  const reader = new VarintReader(bytes);
  if (reader.varlong() !== VERSION || reader.varlong() !== fingerprint) throw patternChanged();
  const nextEvent = reader.varlong();
  const events: MatchedEvent[] = [];
  for (let left = reader.varlong(), number = 0; left > 0; left -= 1) {
    number += reader.varlong();
    const timestamp = bytes.readDoubleLE(reader.position);
    reader.position += 8;
    const length = reader.varlong();
    const value = values.decode(bytes.subarray(reader.position, reader.position + length));
    reader.position += length;
    events.push({ number, timestamp, value });
  }
  const nodes: MatchNode[] = [];
  for (let left = reader.varlong(); left > 0; left -= 1) {
    const step = reader.varlong();
    const event = present(events[reader.varlong()]);
    const back = reader.varlong();
    const before = back === 0 ? undefined : present(nodes[nodes.length - back]);
    nodes.push({ step, event, before, length: (before?.length ?? 0) + 1 });
  }
  const matches = (): PartialMatch[] =>
    Array.from({ length: reader.varlong() }, () => {
      const state = present(states[reader.varlong()]);
      const last = present(nodes[reader.varlong()]);
      return { state, last, first: firstOf(last) };
    });
  return { partial: matches(), complete: matches(), nextEvent };
}

function firstOf(last: MatchNode): MatchedEvent {
  let first = last;
  for (let node: MatchNode | undefined = last; node !== undefined; node = node.before) first = node;
  return first.event;
}

function present<T>(found: T | undefined): T {
  if (found === undefined) throw patternChanged();
  return found;
}

function patternChanged(): ReachflowError {
  return new ReachflowError('partial matches are stored that are not of this pattern', {
    code: 'PATTERN_CHANGED',
    domain: 'user',
    hint: 'Give the step with the changed pattern another name: it begins with no partial matches.',
  });
}

/** A hash (FNV-1a) of the shape of an automaton: state that was written for another one must not be read. */
function fingerprintOf(states: readonly State[]): number {
  let hash = 0x811c9dc5;
  for (const { id, step, kind, edges } of states) {
    const shape = `${id}/${step}/${kind}/${edges.map(({ action, to }) => `${action}${to.id}`).join()};`;
    for (let at = 0; at < shape.length; at += 1)
      hash = Math.imul(hash ^ shape.charCodeAt(at), 0x01000193);
  }
  return hash >>> 2;
}
