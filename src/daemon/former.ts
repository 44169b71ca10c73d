/**
 * Settings of flintlock in Go that mean nothing here, with what to do instead:
 * who moves a host over should not have to guess. Names as in its
 * internal/command/flags and pkg/defaults.
 */
const NO_CONTAINERD = 'images are fetched without containerd: leave it out';
const FORMER: Readonly<Record<string, string>> = {
  'containerd-socket': NO_CONTAINERD,
  'containerd-ns': NO_CONTAINERD,
  'containerd-kernel-ss': NO_CONTAINERD,
  'containerd-volume-ss': NO_CONTAINERD,
  'firecracker-detach': 'a VMM always outlives the daemon: leave it out',
  'firecracker-api': 'each VMM has a socket of its own below --run-dir: leave it out',
  'cloudhypervisor-detach': 'a VMM always outlives the daemon: leave it out',
  'virtiofs-bin': 'volumes come from images; virtiofs is not built yet: leave it out',
  'disable-api': 'one daemon serves and reconciles: leave it out',
  'disable-reconcile': 'one daemon serves and reconciles: leave it out',
  'deleteMicroVM-timeout': 'a delete goes on until nothing is left: leave it out',
  'enable-http': 'HTTP is served beside gRPC, --http-endpoint says where: leave it out',
  'debug-endpoint': 'there is no pprof; GET /metrics and the log at --verbosity 2 tell what goes on: leave it out',
  'log-output': 'the log goes to standard error; send that where you want it: leave it out',
  'resync-period': 'guests and network are watched, not looked at in turns: leave it out',
};

/**
 * What to do about a flag, a variable (`FLINTLOCKD_FIRECRACKER_DETACH`) or a key
 * of the file that only flintlock in Go has.
 */
export function insteadOf(name: string): string | undefined {
  const plain = name
    .replace(/^FLINTLOCKD_/, '')
    .replace(/^-+/, '')
    .toLowerCase()
    .replaceAll('_', '-');
  return Object.entries(FORMER).find(([former]) => former.toLowerCase() === plain)?.[1];
}
