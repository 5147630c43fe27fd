import type { Position } from './backend.ts';

/** A position as bytes. */
export function positionToJson({ nextOffset, ...rest }: Position): Buffer {
  return Buffer.from(JSON.stringify({ nextOffset: String(nextOffset), ...rest }));
}

/** The position of `positionToJson`. */
export function positionFromJson(bytes: Buffer): Position {
  const json = JSON.parse(bytes.toString('utf8')) as Omit<Position, 'nextOffset'> & {
    readonly nextOffset: string;
  };
  return { ...json, nextOffset: BigInt(json.nextOffset) };
}
