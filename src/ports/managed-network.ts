/** The daemon's own network: made once for the host, when a microVM first needs it. */
export interface ManagedNetwork {
  /** `10.77.0.0/24` */
  readonly cidr: string;
  readonly bridge: string;
  /** Where the DHCP server reads its reservations. */
  readonly dhcpDirectory: string;
  /** Makes bridge, forwarding, firewall and DHCP server, or finds them; many callers at once wait for one. */
  ensure(signal: AbortSignal): Promise<void>;
}
