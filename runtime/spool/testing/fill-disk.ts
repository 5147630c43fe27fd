/** Appends to a log on the small disk DIR until it is refused, makes room, appends again, and prints what is there. */
import { pino } from 'pino';
import { errorCode } from '../../errors.ts';
import { SegmentLog } from '../segment-log.ts';

const logger = pino({ level: 'silent' });
const dir = process.argv[2] ?? '';
const options = { dir, maxBytes: 2 ** 30, segmentBytes: 2 ** 18, logger };
const log = await SegmentLog.open(options);
const padding = 'x'.repeat(10_000);
const kept: number[] = [];
const refusals = new Set<string | undefined>();

async function append(number: number): Promise<void> {
  try {
    await log.append(Buffer.from(`${number} ${padding}`));
    kept.push(number);
  } catch (error) {
    refusals.add(errorCode(error));
  }
}

let next = 0;
for (; refusals.size === 0 && next < 10_000; next += 1) await append(next);
const before = kept.length;
await log.seal();
const [first] = log.segments;
const trimmed = first?.records ?? 0;
await log.trim({ segment: first?.id ?? '', index: first?.endIndex ?? 0 });
const end = Date.now() + 60_000;
while (kept.length < before + 3 && Date.now() < end) {
  await append(next);
  next += 1;
  await new Promise((resolve) => setTimeout(resolve, 100));
}
await log.close();

const again = await SegmentLog.open(options);
const found: number[] = [];
for (const segment of again.segments) {
  const { records } = await again.read(segment);
  found.push(...records.map(({ payload }) => Number.parseInt(payload.toString(), 10)));
}
const { damagedBytes } = again.standing;
process.stdout.write(
  JSON.stringify({ refusals: [...refusals], before, kept, trimmed, found, damagedBytes }),
);
await again.close();
