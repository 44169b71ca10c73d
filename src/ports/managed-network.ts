/** What the taps of guests are plugged into. */
export interface GuestNetwork {
  readonly bridge: string;
  /**
   * Makes what taps need beside the bridge, or finds it; many callers at once wait for one.
   * @throws Fault `tool` NetworkFailed where the bridge is somebody else's and not there
   */
  ensure(signal: AbortSignal): Promise<void>;
}

/** The daemon's own network: made once for the host, when a microVM first needs it. */
export interface ManagedNetwork extends GuestNetwork {
  /** `10.77.0.0/24` */
  readonly cidr: string;
  /** Where the DHCP server reads its reservations. */
  readonly dhcpDirectory: string;
}
