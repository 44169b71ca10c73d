import type { Run } from '../../ports/host.ts';
import { perlHead } from '../supervisor/perl.ts';

const READY_MS = 10_000;

/** @see https://docs.kernel.org/networking/tuntap.html; include/uapi/linux/if_tun.h; mknod(2) */
const NUMBERS = {
  ...{ SYS_mknod: 133, S_IFIFO: 0o10000, EBUSY: 16 },
  ...{ TUNSETIFF: 0x400454ca, TUNSETOWNER: 0x400454cc, IFF_TAP: 0x0002, IFF_NO_PI: 0x1000 },
} as const;

/**
 * Makes FIFOs, the second of them its user's, and plugs into each tap, says whose it is, and lets it go. One that is taken is left:
 * who opens it next is told so. One process does it all: each comes before a guest.
 *
 * Arguments: user, two FIFOs, taps.
 */
export const READY = `${perlHead(NUMBERS)}
my ($user, $input, $counts, @taps) = @ARGV;
for my $path ($input, $counts) {
  0 == syscall SYS_mknod, $path, S_IFIFO | 0600, 0 or fail "cannot make the FIFO $path: $!";
}
chown $user, $user, $counts or fail "cannot give $counts to user $user: $!";
for my $tap (@taps) {
  open my $tun, '+<', '/dev/net/tun' or fail "cannot open /dev/net/tun: $!";
  my $request = pack 'a16 S x22', $tap, IFF_TAP | IFF_NO_PI;
  if (!ioctl $tun, TUNSETIFF, $request) {
    next if $! == EBUSY;
    fail "cannot plug into $tap: $!";
  }
  ioctl $tun, TUNSETOWNER, $user + 0 or fail "cannot give $tap to user $user: $!";
}
`;

/**
 * Makes the FIFOs of a Firecracker, and gives it its taps. One without an owner may be plugged into by every user who may open
 * /dev/net/tun, which all may: by whoever has broken out of another guest, too.
 *
 * @param pipes - its console's, which it finds open, and that of its metrics, which it opens
 */
export async function makePipesAndOwnTaps(
  pipes: readonly [input: string, counts: string],
  taps: readonly string[],
  user: number,
  run: Run,
): Promise<void> {
  const limits = { signal: new AbortController().signal, timeoutMs: READY_MS };
  await run(['perl', '-e', READY, '--', String(user), ...pipes, ...taps], limits);
}
