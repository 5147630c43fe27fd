import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DeadLetterInfo } from '../../runtime/delivery/dead-letter.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import type { PatchLetters } from '../../runtime/delivery/redrive.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { decodeLetters } from '../../runtime/letters/decode.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { isTopicName, retryOf, type TopicName, type TopicValue } from '../../schemas/topics.ts';

/** A dead letter's record, for a patch. */
export interface PatchedRecord<T extends TopicName> {
  readonly key: string;
  /** Decoded, a copy of its own; null is a tombstone, undefined could not be decoded. */
  readonly value: TopicValue<T> | null | undefined;
  readonly headers: Readonly<Record<string, Buffer>>;
  /** Why it is in the DLQ. */
  readonly failure: DeadLetterInfo;
}

/**
 * The default export of a file for `reachflow dlq redrive --patch`: the value to send instead, null for a tombstone, or
 * undefined to leave the letter where it is. The key stays: it decides the partition and the order.
 */
export type Patch<T extends TopicName> = (
  record: PatchedRecord<T>,
) => TopicValue<T> | null | undefined | Promise<TopicValue<T> | null | undefined>;

export interface LoadedPatch {
  readonly apply: Patch<TopicName>;
  /** Of the file, in hex. */
  readonly sha256: string;
}

/** Loads a patch; TypeScript runs as it is. @throws ReachflowError `INVALID_PATCH`. */
export async function loadPatch(file: string): Promise<LoadedPatch> {
  const path = resolve(file);
  let apply: unknown;
  let sha256: string;
  try {
    sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    const module: { readonly default?: unknown } = await import(pathToFileURL(path).href);
    apply = module.default;
  } catch (error) {
    throw invalidPatch(`${file} cannot be loaded: ${errorMessage(error)}`, error);
  }
  if (typeof apply !== 'function') throw invalidPatch(`${file} has no function as default export`);
  return { apply: apply as Patch<TopicName>, sha256 };
}

function invalidPatch(message: string, cause?: unknown): ReachflowError {
  return new ReachflowError(message, {
    code: 'INVALID_PATCH',
    domain: 'user',
    hint: 'export default ({ value }) => ({ ...value, phone: null }); see docs/guides/redrive.md.',
    cause,
  });
}

/** What a patch makes of a letter. */
export interface PatchOutcome {
  /** Undefined: it is left where it is. */
  readonly value: unknown;
}

/** Applies a patch to decoded letters, one after the other. @throws ReachflowError `PATCH_FAILED` naming the letter. */
export async function patchDecoded(
  { apply }: LoadedPatch,
  codec: TopicCodec,
  letters: readonly DeadLetter[],
): Promise<PatchOutcome[]> {
  const decoded = await decodeLetters(codec, letters);
  const outcomes: PatchOutcome[] = [];
  for (const [i, letter] of letters.entries()) {
    const { key = '', value } = decoded[i] ?? {};
    const { headers } = letter.record;
    const record = { key, value, headers, failure: letter.info } as PatchedRecord<TopicName>;
    try {
      outcomes.push({ value: await apply(record) });
    } catch (error) {
      throw patchFailed(letter, error);
    }
  }
  return outcomes;
}

/**
 * The patch as a redrive takes it: its values are encoded in the schema of the topic, which checks them.
 * @throws from the result: ReachflowError `PATCH_FAILED`.
 */
export function patchLetters(
  patch: LoadedPatch,
  client: KafkaClient,
  codec: TopicCodec,
): PatchLetters {
  return async (letters) => {
    const outcomes = await patchDecoded(patch, codec, letters);
    for (const topic of new Set(letters.map(({ info }) => info.topic))) {
      const first = letters.find(({ info }) => info.topic === topic);
      if (!isTopicName(topic) || first === undefined) continue;
      await codec.register([topic]);
      await codec.registerFor(topic, client.physical(retryOf(topic, first.info.consumer)));
    }
    return letters.map((letter, i) => {
      const value = outcomes[i]?.value;
      if (value === undefined || value === null) return value;
      const { topic } = letter.info;
      if (!isTopicName(topic)) throw patchFailed(letter, 'it is internal to a pipeline');
      try {
        return codec.encode(topic, value as TopicValue<TopicName>);
      } catch (error) {
        throw patchFailed(letter, error);
      }
    });
  };
}

function patchFailed({ info }: DeadLetter, cause: unknown): ReachflowError {
  const at = `${info.topic}[${info.partition}]@${info.offset}`;
  return new ReachflowError(`the patch fails at ${at}: ${errorMessage(cause)}`, {
    code: 'PATCH_FAILED',
    domain: 'user',
    hint: 'What was sent before stays sent, and is not sent again: mend the patch and start again. --dry-run tries it first.',
    cause,
  });
}
