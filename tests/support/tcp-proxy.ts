/** Of `reachflow prove`, which ships; tests find it among their fixtures. */
export * from '../../prove/tcp-proxy.ts';
