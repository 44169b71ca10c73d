/** What the taps of guests are plugged into. */
export interface GuestNetwork {
  readonly bridge: string;
  /**
   * Makes what taps need beside the bridge, or finds it; many callers at once wait for one.
   * @throws Fault `tool` NetworkFailed where the bridge is somebody else's and not there
   */
  ensure(signal: AbortSignal): Promise<void>;
}

/** A device of the host's that macvtaps are made on. */
export interface ParentNetwork {
  readonly parent: string;
  /**
   * Makes what macvtaps need beside the parent, or finds it.
   * @throws Fault `tool` NetworkFailed where the parent is not there, or not fit
   */
  ensure(signal: AbortSignal): Promise<void>;
  /** The same, and the way from macvtaps to the metadata service. */
  ensureService(signal: AbortSignal): Promise<void>;
}

/** The daemon's own network: made once for the host, when a microVM first needs it. */
export interface ManagedNetwork extends GuestNetwork {
  /** `10.77.0.0/24` */
  readonly cidr: string;
  /** Where the DHCP server reads its reservations. */
  readonly dhcpDirectory: string;
}
