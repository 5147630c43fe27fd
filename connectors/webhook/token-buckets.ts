/** A bucket's size and how fast it fills. */
export interface BucketShape {
  /** Tokens of a full bucket; one of 0 never has what is asked for. */
  readonly burst: number;
  readonly perMs: number;
}

/** How a bucket stands. */
export interface BucketLevel {
  /** Whole tokens that are left, 0 or more. */
  readonly remaining: number;
  /** Until it has what was asked for, ms; 0 when it has. */
  readonly waitMs: number;
  /** Until it is full, ms. */
  readonly fullMs: number;
}

interface Bucket {
  /** As of `at`; negative while a batch larger than the bucket is paid off. */
  tokens: number;
  at: number;
}

/**
 * Token buckets by key, in memory, at most `maxTracked`: the one that was used longest ago goes, which gives its key a
 * full one again. (The limiters in memory of `rate-limiter-flexible` count in fixed windows, with a timer a key and no
 * bound on keys.)
 */
export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #maxTracked: number;
  readonly #clock: () => number;

  /** @param clock ms, never going back far: what it goes back fills nothing. */
  constructor(maxTracked: number, clock: () => number) {
    this.#maxTracked = maxTracked;
    this.#clock = clock;
  }

  get tracked(): number {
    return this.#buckets.size;
  }

  /** How the bucket of a key stands, asked for `cost` tokens. A cost beyond its size needs a full bucket. */
  look(key: string, shape: BucketShape, cost: number): BucketLevel {
    const bucket = this.#buckets.get(key);
    const tokens = bucket === undefined ? shape.burst : this.#filled(bucket, shape);
    return levelOf(tokens, shape, cost);
  }

  /** Takes `cost` tokens, even if they are not there: look first. Less than 0 gives them back. */
  take(key: string, shape: BucketShape, cost: number): BucketLevel {
    const bucket = this.#buckets.get(key);
    const before = bucket === undefined ? shape.burst : this.#filled(bucket, shape);
    const tokens = Math.min(shape.burst, before - cost);
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens, at: this.#clock() });
    if (this.#buckets.size > this.#maxTracked) {
      const [idlest] = this.#buckets.keys();
      if (idlest !== undefined) this.#buckets.delete(idlest);
    }
    return levelOf(tokens, shape, 0);
  }

  #filled(bucket: Bucket, { burst, perMs }: BucketShape): number {
    return Math.min(burst, bucket.tokens + Math.max(0, this.#clock() - bucket.at) * perMs);
  }
}

/** What sums of fractions may be off by. */
const EPSILON = 1e-6;

function levelOf(tokens: number, { burst, perMs }: BucketShape, cost: number): BucketLevel {
  const msUntil = (wanted: number): number =>
    wanted - tokens < EPSILON ? 0 : (wanted - tokens) / perMs;
  return {
    remaining: Math.max(0, Math.floor(tokens + EPSILON)),
    waitMs: burst > 0 ? msUntil(Math.min(cost, burst)) : Number.POSITIVE_INFINITY,
    fullMs: msUntil(burst),
  };
}
