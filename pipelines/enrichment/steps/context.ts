import type { ProcessContext } from '../../../runtime/operators/process-api.ts';
import type {
  ContactEnriched,
  EnrichmentAnswered,
  EnrichmentCompleted,
} from '../../../schemas/types.ts';
import type { ProviderKind } from '../providers/provider.ts';
import type { Asked, Fact } from './known.ts';

export interface EnrichOutputs extends Record<string, unknown> {
  readonly completed: EnrichmentCompleted;
  readonly answered: EnrichmentAnswered | null;
}

export type EnrichContext = ProcessContext<ContactEnriched | null, EnrichOutputs>;

/** What asking about a contact came to. */
export interface Told {
  readonly id: string;
  readonly kind: ProviderKind;
  readonly subject: string;
  /** Undefined when it failed. */
  readonly fact: Fact | undefined;
  readonly failure: string | undefined;
  /** Whether nobody was called for this contact. */
  readonly cached: boolean;
  readonly stale: boolean;
  readonly durationMs: number;
}

/** Where the answers are from. */
export interface Asking {
  /** Whether there is anybody to ask. */
  asks(kind: ProviderKind): boolean;
  /** Asks for a contact: what is cached is told at once, else when it is there. */
  ask(id: string, kind: ProviderKind, subject: string): void;
  /** Calls although there is an answer, or was a failure. */
  refresh(id: string, kind: ProviderKind, subject: string): void;
  /** Whether an answer has outlived its time. */
  isOld(kind: ProviderKind, fact: Fact): boolean;
  /** It failed, after it was asked again `again` times: a timer asks once more, unless that is enough. */
  later(id: string, kind: ProviderKind, again: number): void;
  /** Who asks again, a timer being due; undefined when it was for another reason, and is done. */
  due(timer: string): { readonly id: string; readonly kind: ProviderKind } | undefined;
  /** The contact does not want to know any more; one that is deleted leaves nothing personal behind. */
  forget(id: string, kind: ProviderKind, asked: Asked, isDeleted: boolean): void;
  /** Once, with the state restored: what is pending is asked for again. */
  start(): void;
  /** The journal of the contact that is asked about next. */
  read(journal: EnrichmentAnswered | undefined): void;
}

/** Made once for a task. */
export type MakeAsking = (context: EnrichContext, tell: (told: Told) => void) => Asking;
