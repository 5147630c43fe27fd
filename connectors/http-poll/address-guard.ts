import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { ReachflowError } from '../../runtime/errors.ts';

/** Special-purpose addresses (IANA's registries, RFC 6890): what an address on the Internet never is. */
const special = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  special.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['::', 127],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  special.addSubnet(network, prefix, 'ipv6');
}

/** Is it an address that only a machine near us has? IPv4 in IPv6 counts as what it stands for. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  return family === 0 || special.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function refused(host: string): ReachflowError {
  return new ReachflowError(`${host} is an address of a private network`, {
    code: 'POLL_ADDRESS_REFUSED',
    domain: 'user',
    hint: 'If it is meant, set allowPrivateNetwork of the source.',
  });
}

/** @throws ReachflowError `POLL_ADDRESS_REFUSED` where the host of a URL is such an address itself: it is not looked up. */
export function checkLiteral(hostname: string): void {
  const host = hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && isPrivateAddress(host)) throw refused(host);
}

/**
 * Looks a name up as the connection is made, and refuses private addresses: what was checked is what is connected to,
 * whatever the name leads to a moment later.
 */
export const publicLookup: LookupFunction = (hostname, options: LookupOptions, callback) => {
  lookup(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
    const [first] = found ?? [];
    if (error !== null || first === undefined) return callback(error, '', 4);
    if (found.some(({ address }) => isPrivateAddress(address)))
      return callback(refused(hostname), '', 4);
    if (options.all === true) return callback(null, found);
    return callback(null, first.address, first.family);
  });
};
