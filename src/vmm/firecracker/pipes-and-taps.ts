import { Fault } from '../../domain/fault.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { perlHead } from '../supervisor/perl.ts';
import { consoleInput, metricsPipe } from './layout.ts';

/** @see https://docs.kernel.org/networking/tuntap.html; include/uapi/linux/if_tun.h; mknod(2) */
const NUMBERS = {
  ...{ SYS_mknod: 133, SYS_dup2: 33, S_IFIFO: 0o10000, EBUSY: 16, O_RDWR: 2 },
  ...{ TUNSETIFF: 0x400454ca, TUNSETOWNER: 0x400454cc, IFF_TAP: 0x0002, IFF_NO_PI: 0x1000 },
} as const;

/**
 * Makes FIFOs, the first of them its standard input, the second its user's, and plugs into each tap, says whose it is, and lets it go. One
 * that is taken is left: who opens it next is told so. Then it becomes what is to find all that: no process more comes before a guest.
 *
 * Arguments: user, two FIFOs, taps; `--`; a program and its arguments.
 */
export const READY = `${perlHead(NUMBERS)}
sub unready { fail "before Firecracker, $_[0]" }
my ($user, $input, $counts) = splice @ARGV, 0, 3;
for my $path ($input, $counts) {
  0 == syscall SYS_mknod, $path, S_IFIFO | 0600, 0 or unready "cannot make the FIFO $path: $!";
}
chown $user, $user, $counts or unready "cannot give $counts to user $user: $!";
while (defined(my $tap = shift @ARGV)) {
  last if $tap eq '--';
  open my $tun, '+<', '/dev/net/tun' or unready "cannot open /dev/net/tun: $!";
  my $request = pack 'a16 S x22', $tap, IFF_TAP | IFF_NO_PI;
  if (!ioctl $tun, TUNSETIFF, $request) {
    next if $! == EBUSY;
    unready "cannot plug into $tap: $!";
  }
  ioctl $tun, TUNSETOWNER, $user + 0 or unready "cannot give $tap to user $user: $!";
}
sysopen my $typed, $input, O_RDWR or unready "cannot open $input: $!";
syscall(SYS_dup2, fileno $typed, 0) == 0 or unready "cannot be typed to: $!";
close $typed;
exec { $ARGV[0] } @ARGV or unready "cannot run $ARGV[0]: $!";
`;

/**
 * The command line that comes to another with its console's FIFO as standard input, that of its metrics, which it opens, and its taps: one without
 * an owner may be plugged into by every user who may open /dev/net/tun, which all may, by whoever has broken out of another guest, too.
 */
export const readied = (
  config: Pick<VmmConfig, 'user' | 'nics' | 'runDirectory'>,
  argv: readonly string[],
): [string, ...string[]] => [
  ...(['perl', '-e', READY, '--', String(config.user)] as const),
  ...[consoleInput(config), metricsPipe(config)],
  ...config.nics.map(({ device }) => device),
  '--',
  ...argv,
];

/** @param errors - the end of standard error @returns undefined where it was not that which failed */
export function readyRefusal(errors: string): Fault | undefined {
  const found = /^flintlock: before Firecracker, (.*)$/m.exec(errors)?.[1];
  return found === undefined ? undefined : new Fault('tool', `Cannot start Firecracker: ${found}`);
}
