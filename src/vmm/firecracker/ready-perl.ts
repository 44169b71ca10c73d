import { Fault } from '../../domain/fault.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { LINUX, PERL_BECOME, perlHead } from '../supervisor/perl.ts';
import { consoleInput, metricsPipe, ownLog } from './layout.ts';

/** @see https://docs.kernel.org/networking/tuntap.html; include/uapi/linux/if_tun.h, capability.h, prctl.h; mknod(2) */
const NUMBERS = {
  ...{ SYS_lchown: 94, S_IFIFO: 0o10000, ENOENT: 2, EBUSY: 16, EINVAL: 22 },
  ...{ TUNSETIFF: 0x400454ca, TUNSETOWNER: 0x400454cc, IFF_TAP: 0x0002, IFF_NO_PI: 0x1000 },
  ...{ SYS_capget: 125, SYS_capset: 126, CAPABILITIES: 0x20080522 },
  ...{ PR_CAPBSET_DROP: 24, PR_CAP_AMBIENT: 47, PR_CAP_AMBIENT_CLEAR_ALL: 4 },
} as const;

/**
 * What perl does before it becomes another; its arguments are those of {@link readyWords}. One process does all of it: to begin the next one takes
 * longer than what it is to do.
 *
 * `get_ready`: makes two FIFOs, the first of them its standard input, the second its user's, plugs into each tap, says whose it is, and lets it
 * go, and gives its user his files. A tap that is taken is left: who opens it next is told so. A file that is not there is told by who opens it.
 *
 * `keep_rights CAPABILITY...`: it and what it becomes can gain none but these. As `setpriv --no-new-privs --bounding-set --inh-caps=-all
 * --ambient-caps=-all`.
 */
const READY = `
sub give { my ($path, $user) = @_; 0 == syscall SYS_lchown, $path, $user, $user }
sub get_ready {
  my ($user, $input, $counts) = splice @ARGV, 0, 3;
  $user += 0;
  for my $path ($input, $counts) {
    0 == syscall SYS_mknod, $path, S_IFIFO | 0600, 0 or unready "cannot make the FIFO $path: $!";
  }
  give($counts, $user) or unready "cannot give $counts to user $user: $!";
  while (defined(my $tap = shift @ARGV)) {
    last if $tap eq '--';
    open my $tun, '+<', '/dev/net/tun' or unready "cannot open /dev/net/tun: $!";
    my $request = pack 'a16 S x22', $tap, IFF_TAP | IFF_NO_PI;
    if (!ioctl $tun, TUNSETIFF, $request) {
      next if $! == EBUSY;
      unready "cannot plug into $tap: $!";
    }
    ioctl $tun, TUNSETOWNER, $user or unready "cannot give $tap to user $user: $!";
  }
  # While the directory is nobody else's yet.
  sysopen my $typed, $input, O_RDWR or unready "cannot open $input: $!";
  syscall(SYS_dup2, fileno $typed, 0) == 0 or unready "cannot be typed to: $!";
  while (defined(my $path = shift @ARGV)) {
    last if $path eq '--';
    give($path, $user) or $! == ENOENT or unready "cannot give $path to user $user: $!";
  }
  return $user;
}
sub keep_rights {
  my %kept = map { $_ => 1 } @_;
  for my $right (0 .. 63) {
    next if $kept{$right} || 0 == syscall SYS_prctl, PR_CAPBSET_DROP, $right, 0, 0, 0;
    last if $! == EINVAL; # the kernel has no more
    fail "cannot give up capability $right: $!";
  }
  0 == syscall SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0 or fail "cannot give up new rights: $!";
  0 == syscall SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0 or fail "cannot give up ambient rights: $!";
  my ($of, $sets) = (pack('LL', CAPABILITIES, 0), chr(0) x 24);
  0 == syscall SYS_capget, $of, $sets or fail "cannot see its rights: $!";
  my @sets = unpack 'L6', $sets; # effective, permitted and inheritable, twice
  $sets = pack 'L6', @sets[0, 1], 0, @sets[3, 4], 0;
  0 == syscall SYS_capset, $of, $sets or fail "cannot give up inheritable rights: $!";
}
sub go { local $^W = 0; exec { $ARGV[0] } @ARGV or fail "cannot run $ARGV[0]: $!" }
`;

const BEFORE = 'before Firecracker, ';

/** {@link READY} for a jail's starter, whose own failures are told as such. */
export const PERL_READY = `${perlHead({ ...LINUX, ...NUMBERS })}sub unready { fail "${BEFORE}$_[0]" }${READY}`;

/** Becomes a program as its user, with no right of root's. Behind the words of {@link readyWords} the numbers of his groups; `--`; the program and its arguments. */
export const OPEN_STARTER = `${perlHead({ ...LINUX, ...NUMBERS }, BEFORE)}sub unready { fail @_ }${READY}${PERL_BECOME}
my $user = get_ready();
my @groups;
while (defined(my $group = shift @ARGV)) { last if $group eq '--'; push @groups, $group }
keep_rights();
become($user, @groups);
go();
`;

/**
 * The beginning of the arguments: user, two FIFOs, taps; `--`; files that become his; `--`. A tap without an owner may be plugged into by every user
 * who may open /dev/net/tun, which all may, by whoever has broken out of another guest, too.
 *
 * The directory of its sockets is lent to him until its own are there: `takeBack`.
 */
export const readyWords = (
  config: Pick<VmmConfig, 'user' | 'nics' | 'runDirectory' | 'stateDirectory' | 'disks'>,
): readonly string[] => [
  ...[String(config.user), consoleInput(config), metricsPipe(config)],
  ...config.nics.map(({ device }) => device),
  ...['--', ownLog(config)],
  ...config.disks.flatMap(({ path, readOnly }) => (isOwn(config, { path, readOnly }) ? [path] : [])),
  ...[config.runDirectory, '--'],
];

/** Whether a disk is the microVM's alone, and becomes its user's; the others are shared, and lie where only root may enter. */
export const isOwn = (
  { stateDirectory }: Pick<VmmConfig, 'stateDirectory'>,
  { path, readOnly }: Pick<VmmConfig['disks'][number], 'path' | 'readOnly'>,
): boolean => !readOnly || path.startsWith(`${stateDirectory}/`);

/** @param errors - the end of standard error @returns undefined where it was not that which failed, or all was ready and no Firecracker there */
export function readyRefusal(errors: string): Fault | undefined {
  const found = /^flintlock: before Firecracker, (?!cannot run )(.*)$/m.exec(errors)?.[1];
  return found === undefined ? undefined : new Fault('tool', `Cannot start Firecracker: ${found}`);
}
