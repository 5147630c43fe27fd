import { type DlqStretch, dlqStretches, readLetters } from '../../runtime/delivery/dlq-reader.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import { isOpen } from '../../runtime/delivery/redrive-plan.ts';
import { Resolutions } from '../../runtime/delivery/resolutions.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { decodeLetters } from '../../runtime/letters/decode.ts';
import { Collected, type FailureGroup } from '../../runtime/letters/groups.ts';
import { letterData } from '../../runtime/letters/letter-data.ts';
import { type Selection, selector } from '../../runtime/letters/selection.ts';
import { line } from '../output.ts';
import { type DlqContext, queuesOf } from './context.ts';
import { printGroups, printLetters, toJson } from './view.ts';

export interface ListCommand {
  readonly selection: Selection;
  /** Newest letters to show. */
  readonly limit: number;
  /** Letters that were redriven or dropped, too. */
  readonly all: boolean;
  readonly groupsOnly: boolean;
  readonly json: boolean;
}

/** `reachflow dlq list`. */
export async function list(context: DlqContext, command: ListCommand): Promise<void> {
  const { client, codec } = context;
  const { selection, limit, all } = command;
  const queues = await queuesOf(client, selection.topic);
  const resolutions = await Resolutions.read(client);
  const select = selector(codec, selection);
  const collected = new Collected(limit);
  for (const stretch of await dlqStretches(client, queues)) {
    await readLetters(client, stretch, resolutions, async (letters) => {
      const open = all ? letters : letters.filter(isOpen);
      for (const letter of await select(open)) collected.add(letter);
    });
  }
  if (command.json) return printJson(context, command, collected);
  if (collected.total === 0) return line(`No dead letters in ${queues.length} queues.`);
  printGroups(collected.groups(), await sampleKeys(context, collected.groups()));
  const newest = collected.newest();
  if (!command.groupsOnly) {
    line();
    printLetters(newest, await decodeLetters(codec, newest));
  }
  line(`${collected.total} dead letters in ${queues.length} queues, kept 14 days.`);
}

async function printJson(
  context: DlqContext,
  { groupsOnly }: ListCommand,
  collected: Collected,
): Promise<void> {
  if (groupsOnly) {
    const keys = await sampleKeys(context, collected.groups());
    for (const group of collected.groups()) {
      const { samples: _samples, ...counts } = group;
      line(toJson({ ...counts, keys: keys.get(group) ?? [] }));
    }
    return;
  }
  const newest = collected.newest();
  const decoded = await decodeLetters(context.codec, newest);
  for (const [i, letter] of newest.entries()) line(toJson(letterData(letter, decoded[i], true)));
}

async function sampleKeys(
  { codec }: DlqContext,
  groups: readonly FailureGroup[],
): Promise<ReadonlyMap<FailureGroup, readonly string[]>> {
  const keys = new Map<FailureGroup, readonly string[]>();
  for (const group of groups) {
    const decoded = await decodeLetters(codec, group.samples);
    keys.set(group, [...new Set(decoded.map(({ key }) => key))]);
  }
  return keys;
}

/** `TOPIC[partition]@offset`: of the record that failed, or of the letter in its queue. */
const POSITION = /^(.+)\[(\d+)\]@(\d+)$/;
const MAX_SHOWN = 20;

/** `reachflow dlq show`: a fingerprint, or a position. @throws ReachflowError `LETTER_NOT_FOUND`. */
export async function show(context: DlqContext, what: string, withBytes: boolean): Promise<void> {
  const found = await find(context, what);
  if (found.length === 0) {
    throw new ReachflowError(`there is no dead letter ${what}`, {
      code: 'LETTER_NOT_FOUND',
      domain: 'user',
      hint: 'A fingerprint of `reachflow dlq list`, or TOPIC[partition]@offset of the record.',
    });
  }
  const decoded = await decodeLetters(context.codec, found);
  for (const [i, letter] of found.entries()) {
    line(toJson(letterData(letter, decoded[i], withBytes), 2));
  }
}

async function find({ client }: DlqContext, what: string): Promise<DeadLetter[]> {
  const [, topic = '', partition = '', offset = ''] = POSITION.exec(what) ?? [];
  const isMeant = ({ dlq, dlqPartition, dlqOffset, info }: DeadLetter) => {
    if (topic === '') return info.fingerprint.startsWith(what);
    const isOrigin = info.topic === topic && info.partition === Number(partition);
    if (isOrigin && info.offset === offset) return true;
    return dlq === topic && dlqPartition === Number(partition) && String(dlqOffset) === offset;
  };
  const resolutions = await Resolutions.read(client);
  const newest: DeadLetter[] = [];
  const queues = await queuesOf(client, topic === '' ? undefined : topic);
  const stretches: readonly DlqStretch[] = await dlqStretches(client, queues);
  for (const stretch of stretches) {
    if (topic !== '' && stretch.partition !== Number(partition)) continue;
    await readLetters(client, stretch, resolutions, (letters) => {
      newest.push(...letters.filter(isMeant).map((letter) => letter.copy()));
      newest.splice(0, newest.length - MAX_SHOWN);
    });
  }
  return newest;
}
