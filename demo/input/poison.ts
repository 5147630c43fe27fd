/** Puts bytes into a topic as they are, past every encoder. */
export type SendRaw = (topic: string, key: string, value: Buffer) => Promise<void>;

/** What no Avro reader takes: no Confluent frame, and a frame whose schema nobody registered. */
const GARBAGE = [
  Buffer.from('this is not Avro at all'),
  Buffer.from([0, 0x7f, 0xff, 0xff, 0x01, 0xde, 0xad, 0xbe, 0xef]),
] as const;

/**
 * Writes undecodable records into `webhook.received`. Each must end in the DLQ with its bytes unaltered, and the
 * records after it must flow.
 * @returns how many were written.
 */
export async function poison(sendRaw: SendRaw, runId: string): Promise<number> {
  for (const [i, value] of GARBAGE.entries()) {
    await sendRaw('webhook.received', `poison:${runId}:${i}`, value);
  }
  return GARBAGE.length;
}
