import type { PublishedPort } from './spec.ts';

/** Of one microVM: each is an element of a map in the firewall. */
export const MAX_PUBLISHED = 256;

/** What a published port takes of the host: `tcp/8080/`, or `tcp/8080/192.0.2.1` on one address. */
export const publishedKey = ({ protocol, hostPort, hostIp }: Omit<PublishedPort, 'guestPort'>): string =>
  `${protocol}/${hostPort}/${hostIp}`;

/** Whether both would want the same packets: an empty address is every one. */
export const collide = (a: Omit<PublishedPort, 'guestPort'>, b: Omit<PublishedPort, 'guestPort'>): boolean =>
  a.protocol === b.protocol &&
  a.hostPort === b.hostPort &&
  (a.hostIp === '' || b.hostIp === '' || a.hostIp === b.hostIp);

/** For messages: `tcp port 8080`, `udp port 53 of 192.0.2.1`. */
export const publishedText = ({ protocol, hostPort, hostIp }: Omit<PublishedPort, 'guestPort'>): string =>
  `${protocol} port ${hostPort}${hostIp === '' ? '' : ` of ${hostIp}`}`;
