import type kafkajs from 'kafkajs';
import { type AssignmentMember, assignPartitions } from './assignor.ts';
import {
  assignerProtocol,
  type ConsumerCluster,
  type GroupCoordinator,
} from './kafkajs-internals.ts';

/** The member's side of the assignor: what it claims, and what it learns. */
export interface GroupMember {
  /** What this member brings to the next assignment. */
  claims(): Pick<AssignmentMember, 'owned' | 'generation' | 'warm'>;
  /** Awaited before the member asks to join (again): what is under way has to end before. */
  beforeJoin(): Promise<void>;
  /** Called with the generation that it joined, before it knows its partitions. */
  joined(generation: number): void;
}

/** Part of the group protocol: members of one group must agree on it. */
const NAME = 'reachflow-co-partitioned';
const VERSION = 1;
const { MemberMetadata, MemberAssignment } = assignerProtocol;

/**
 * The co-partitioned, sticky assignor (`assignor.ts`) as KafkaJS takes one. What members hold and have on disk
 * travels in their user data. KafkaJS tells an assigner neither its generation nor that it is about to join, so
 * both are seen where it asks the coordinator.
 */
export function createGroupAssigner(member: GroupMember): kafkajs.PartitionAssigner {
  return ({ cluster: given }) => {
    const cluster = given as unknown as ConsumerCluster;
    observeJoins(cluster, member);
    return {
      name: NAME,
      version: VERSION,
      protocol: ({ topics }) => ({
        name: NAME,
        metadata: MemberMetadata.encode({
          version: VERSION,
          topics,
          userData: encodeClaims(member.claims()),
        }),
      }),
      assign: async ({ members, topics }) => assign(cluster, members, topics),
    };
  };
}

function assign(
  cluster: ConsumerCluster,
  members: readonly kafkajs.GroupMember[],
  topics: readonly string[],
): kafkajs.GroupMemberAssignment[] {
  const counts = topics.map((topic) => ({
    topic,
    count: cluster.findTopicPartitionMetadata(topic).length,
  }));
  const partitions = Math.max(0, ...counts.map(({ count }) => count));
  const claims = members.map(({ memberId, memberMetadata }) => ({
    id: memberId,
    ...decodeClaims(MemberMetadata.decode(memberMetadata).userData),
  }));
  return [...assignPartitions(claims, partitions)].map(([memberId, numbers]) => {
    const assignment: Record<string, number[]> = {};
    for (const { topic, count } of counts) {
      const own = numbers.filter((number) => number < count);
      if (own.length > 0) assignment[topic] = own;
    }
    const userData = Buffer.alloc(0);
    return {
      memberId,
      memberAssignment: MemberAssignment.encode({ version: VERSION, assignment, userData }),
    };
  });
}

type Claims = ReturnType<GroupMember['claims']>;

function encodeClaims({ owned, generation, warm }: Claims): Buffer {
  return Buffer.from(JSON.stringify({ owned, generation, warm }));
}

/** Another version's claims that cannot be read count as none. */
function decodeClaims(userData: Buffer | null): Claims {
  const none = { owned: [], generation: -1, warm: [] };
  if (userData === null || userData.length === 0) return none;
  try {
    const claims = JSON.parse(userData.toString('utf8')) as Partial<Record<string, unknown>>;
    const generation = claims['generation'];
    return {
      owned: numbersOf(claims['owned']),
      generation: typeof generation === 'number' ? generation : -1,
      warm: numbersOf(claims['warm']),
    };
  } catch {
    return none;
  }
}

function numbersOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((item) => Number.isSafeInteger(item)) : [];
}

function observeJoins(cluster: ConsumerCluster, member: GroupMember): void {
  const find = cluster.findGroupCoordinator.bind(cluster);
  const observed = new WeakSet<GroupCoordinator>();
  cluster.findGroupCoordinator = async (options) => {
    const coordinator = await find(options);
    if (!observed.has(coordinator)) {
      observed.add(coordinator);
      const join = coordinator.joinGroup.bind(coordinator);
      coordinator.joinGroup = async (request) => {
        await member.beforeJoin();
        const answer = await join(request);
        member.joined(answer.generationId);
        return answer;
      };
    }
    return coordinator;
  };
}
