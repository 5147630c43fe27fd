import { BlockList, isIP } from 'node:net';

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** A set of addresses from networks in CIDR notation, e.g. `10.0.0.0/8`. */
export function addressSet(cidrs: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', bits = ''] = cidr.split('/');
    list.addSubnet(network, Number(bits), isIP(network) === 6 ? 'ipv6' : 'ipv4');
  }
  return (address) => {
    const plain = MAPPED_IPV4.exec(address)?.[1] ?? address;
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
  };
}

/**
 * Whom an address stands for when requests are counted: an IPv4 address itself, of IPv6 the /64, since one client has
 * all of it. What is no address (a proxy may forward anything) is one client together.
 */
export function clientOf(address: string): string {
  const plain = MAPPED_IPV4.exec(address)?.[1] ?? address;
  const family = isIP(plain);
  if (family === 4) return plain;
  if (family === 0) return 'unknown';
  const [head = '', tail] = plain.split('::');
  const first = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - first.length - groupsOf(tail);
  const groups = [...first, ...Array.from({ length: missing }, () => '0')];
  if (tail !== undefined && tail !== '') groups.push(...tail.split(':'));
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

/** Groups of 16 bits in the end of an address; one that ends as IPv4 has two in its last part. */
function groupsOf(tail: string): number {
  if (tail === '') return 0;
  const parts = tail.split(':');
  return parts.length + (parts.at(-1)?.includes('.') === true ? 1 : 0);
}
