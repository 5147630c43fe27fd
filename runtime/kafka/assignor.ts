/** What a member of a consumer group brings to an assignment. */
export interface AssignmentMember {
  readonly id: string;
  /** Partition numbers that it had when it last was assigned any. */
  readonly owned: readonly number[];
  /** Generation of the group in which it had them; of two that claim the same partition the newer one has it. */
  readonly generation: number;
  /** Partition numbers of which it has local state on disk. */
  readonly warm: readonly number[];
}

/**
 * Assigns partition numbers 0 to `partitions` - 1 to members: a number stands for that partition of every topic of
 * the group, which keeps topics co-partitioned. Every number has one member; members differ by one at most; a
 * number stays with its owner as far as balance allows, and one that has no owner goes to a member that has its
 * state on disk, if there is one with room. The same input gives the same result, in whatever order.
 */
export function assignPartitions(
  members: readonly AssignmentMember[],
  partitions: number,
): Map<string, number[]> {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const shares = new Shares(sorted, partitions);
  shares.keepOwned(sorted);
  shares.giveToWarm(sorted);
  shares.giveRest();
  return shares.result();
}

interface Share {
  readonly id: string;
  readonly held: number[];
}

class Shares {
  readonly #partitions: number;
  readonly #shares: readonly Share[];
  readonly #byId: ReadonlyMap<string, Share>;
  readonly #given = new Set<number>();
  readonly #base: number;
  /** How many members may still hold one more than the others. */
  #extra: number;

  constructor(members: readonly AssignmentMember[], partitions: number) {
    this.#partitions = partitions;
    this.#shares = members.map(({ id }) => ({ id, held: [] }));
    this.#byId = new Map(this.#shares.map((share) => [share.id, share]));
    this.#base = Math.floor(partitions / Math.max(members.length, 1));
    this.#extra = members.length === 0 ? 0 : partitions % members.length;
  }

  /** Owners keep what they have, up to their share; what is too much is left to others. */
  keepOwned(members: readonly AssignmentMember[]): void {
    const owned = new Map<string, number[]>(members.map(({ id }) => [id, []]));
    for (let p = 0; p < this.#partitions; p += 1) {
      const owner = newestOwner(members, p);
      if (owner !== undefined) owned.get(owner.id)?.push(p);
    }
    // Those that hold the most get the larger shares: then the least moves.
    const most = members.toSorted((a, b) => sizeOf(owned, b) - sizeOf(owned, a));
    const short = members.filter((member) => sizeOf(owned, member) < this.#base);
    const wanted = new Set(short.flatMap(({ warm }) => warm));
    for (const { id } of most) {
      // What a member with room has on disk is what costs least to give away.
      const held = (owned.get(id) ?? []).toSorted(
        (a, b) => Number(wanted.has(a)) - Number(wanted.has(b)) || a - b,
      );
      for (const p of held) this.#give(this.#byId.get(id), p);
    }
  }

  giveToWarm(members: readonly AssignmentMember[]): void {
    for (let p = 0; p < this.#partitions; p += 1) {
      if (this.#given.has(p)) continue;
      const warm = members
        .filter((member) => member.warm.includes(p))
        .map(({ id }) => this.#byId.get(id))
        .toSorted((a, b) => (a?.held.length ?? 0) - (b?.held.length ?? 0));
      for (const share of warm) if (this.#give(share, p)) break;
    }
  }

  giveRest(): void {
    for (let p = 0; p < this.#partitions; p += 1) {
      if (this.#given.has(p)) continue;
      let least: Share | undefined;
      for (const share of this.#shares) {
        if (least === undefined || share.held.length < least.held.length) least = share;
      }
      this.#give(least, p);
    }
  }

  /** False when the member has its share already. */
  #give(share: Share | undefined, p: number): boolean {
    if (share === undefined || this.#given.has(p) || share.held.length > this.#base) return false;
    if (share.held.length === this.#base) {
      if (this.#extra === 0) return false;
      this.#extra -= 1;
    }
    share.held.push(p);
    this.#given.add(p);
    return true;
  }

  result(): Map<string, number[]> {
    return new Map(this.#shares.map(({ id, held }) => [id, held.toSorted((a, b) => a - b)]));
  }
}

function sizeOf(owned: ReadonlyMap<string, readonly number[]>, { id }: AssignmentMember): number {
  return owned.get(id)?.length ?? 0;
}

function newestOwner(
  members: readonly AssignmentMember[],
  partition: number,
): AssignmentMember | undefined {
  let newest: AssignmentMember | undefined;
  for (const member of members) {
    if (!member.owned.includes(partition)) continue;
    if (newest === undefined || member.generation > newest.generation) newest = member;
  }
  return newest;
}
